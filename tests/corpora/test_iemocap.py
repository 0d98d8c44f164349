"""The reader of IEMOCAP on tiny trees with the release's oddities."""

import logging
import os

import numpy as np
import pytest
import soundfile

from speechbrain_ser.corpora import iemocap
from speechbrain_ser.corpora.iemocap import read_iemocap, read_labels
from speechbrain_ser.utils import audio_files
from speechbrain_ser.utils.errors import InputError
from tests.corpora.iemocap_tree import UTTERANCES, evaluation_file, write_tree

FOUR_CLASSES = {
    "Ses01F_impro01_F000",
    "Ses01F_impro01_M000",
    "Ses01M_script01_1_F000",
    "Ses02F_script01_1_M000",
    "Ses03M_impro05a_F003",
    "Ses03M_impro05a_M000",
    "Ses05M_script01_1b_F003",
}


@pytest.fixture
def tree(tmp_path):
    """A tree with audio."""
    return write_tree(tmp_path / "IEMOCAP_full_release")


def replace_line(path, old, new):
    """Replaces text in a file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_an_entry_has_every_key(tree):
    """All keys of one utterance, written out."""
    name = "Ses01F_impro01_F000"
    assert read_iemocap(str(tree))[name] == {
        "wav": str(tree / f"Session1/sentences/wav/Ses01F_impro01/{name}.wav"),
        "start": 0,
        "stop": 800 + 10 * len(name),
        "duration": (800 + 10 * len(name)) / 16000,
        "emotion": "ang",
        "speaker": "Ses01_F",
        "gender": "F",
        "session": 1,
        "dialog": "Ses01F_impro01",
        "style": "improvised",
        "votes": [["ang"], ["ang", "fru"], ["ang"]],
        "self_votes": [["sad"]],
        "valence": 2.5,
        "arousal": 3.5,
        "dominance": 2.0,
    }


def test_takes_each_labelled_utterance_once_and_sorted(tree):
    """No sub-folder, decoy or other class; sorted by id."""
    names = list(read_iemocap(str(tree)))
    assert set(names) == FOUR_CLASSES
    assert names == sorted(names)


def test_of_several_channels_the_mean_is_meant(tree):
    """Of that utterance alone."""
    before = read_iemocap(str(tree))
    key, entry = next(iter(before.items()))
    wav, rate = soundfile.read(entry["wav"])
    soundfile.write(entry["wav"], np.stack([wav, 0 * wav], axis=1), rate)
    mixed = before | {key: entry | {"channel": "mix"}}
    assert read_iemocap(str(tree)) == mixed


def test_a_relative_folder_gives_absolute_paths(tree, monkeypatch):
    """A manifest stays valid in another working directory."""
    monkeypatch.chdir(tree.parent)
    entries = read_iemocap(tree.name).values()
    assert all(os.path.isabs(entry["wav"]) for entry in entries)


@pytest.mark.parametrize(
    "name, speaker, style, dialog",
    [
        ("Ses01F_impro01_M000", "Ses01_M", "improvised", "Ses01F_impro01"),
        ("Ses01M_script01_1_F000", "Ses01_F", "scripted", "Ses01M_script01_1"),
        ("Ses03M_impro05a_F003", "Ses03_F", "improvised", "Ses03M_impro05a"),
        ("Ses03M_impro05a_M000", "Ses03_M", "improvised", "Ses03M_impro05a"),
        (
            "Ses05M_script01_1b_F003",
            "Ses05_F",
            "scripted",
            "Ses05M_script01_1b",
        ),
    ],
)
def test_the_speaker_is_who_speaks(tree, name, speaker, style, dialog):
    """Neither the marker actor nor a fixed position of the name."""
    entry = read_iemocap(str(tree))[name]
    assert (entry["speaker"], entry["gender"]) == (speaker, speaker[-1])
    assert (entry["style"], entry["dialog"]) == (style, dialog)
    assert entry["session"] == int(name[3:5])


def test_excited_is_merged_in_label_and_votes(tree):
    """Two words of one annotator that merge count once."""
    entry = read_iemocap(str(tree))["Ses01F_impro01_M000"]
    assert entry["emotion"] == "hap"
    assert entry["votes"] == [["hap"], ["hap"], ["neu"]]
    assert entry["self_votes"] == [["hap"]]


def test_excited_unmerged_is_its_own_class(tree):
    """Without merging `exc` is no hap and can be asked for."""
    name = "Ses01F_impro01_M000"
    assert name not in read_iemocap(str(tree), merge_excited=False)
    entry = read_iemocap(str(tree), merge_excited=False, labels=["exc"])[name]
    assert entry["emotion"] == "exc"
    assert entry["votes"] == [["exc", "hap"], ["exc"], ["neu"]]


def test_self_evaluations_count_only_on_demand(tree):
    """The actor's own label joins the votes, and stays apart as well."""
    entry = read_iemocap(str(tree), self_evaluations=True)[
        "Ses01F_impro01_F000"
    ]
    assert entry["votes"] == [["ang"], ["ang", "fru"], ["ang"], ["sad"]]
    assert entry["self_votes"] == [["sad"]]


def test_improvised_only(tree):
    """Scripted dialogs are left out."""
    names = read_iemocap(str(tree), improvised_only=True)
    assert set(names) == {name for name in FOUR_CLASSES if "impro" in name}


def test_labels_select(tree):
    """Other classes than the four."""
    assert list(read_iemocap(str(tree), labels=["fru"])) == [
        "Ses02F_script01_1_M001"
    ]


def test_all_labels_take_every_utterance(tree):
    """Those without a majority too; excited is merged as ever."""
    entries = read_iemocap(str(tree), labels=None)
    assert list(entries) == sorted(UTTERANCES)
    assert entries["Ses01F_impro01_M001"]["emotion"] == "xxx"
    assert entries["Ses01F_impro01_M000"]["emotion"] == "hap"
    assert entries["Ses02F_script01_1_M001"]["emotion"] == "fru"


def test_every_vote_word(tmp_path):
    """All words of the release, in one line."""
    words = (
        "Anger; Happiness; Excited; Sadness; Neutral; Frustration; Fear; "
        "Surprise; Disgust; Other;"
    )
    name = "Ses01F_impro01_F000"
    write_tree(tmp_path, {name: ("neu", [f"C-E1:\t{words}\t()"])}, False)
    votes = read_labels(tmp_path, merge_excited=False)[name]["votes"]
    assert votes == [
        "ang hap exc sad neu fru fea sur dis oth".split(),
    ]


def test_labels_need_no_audio(tmp_path):
    """`read_labels` opens no audio file."""
    annotation = read_labels(write_tree(tmp_path, audio=False))
    assert set(annotation) == FOUR_CLASSES
    assert "duration" not in annotation["Ses01F_impro01_F000"]


def test_opens_each_file_once(tree, monkeypatch):
    """One inspection an utterance, none for utterances left out."""
    opened = []

    def count(path):
        """Counts and inspects."""
        opened.append(os.path.basename(path)[:-4])
        return inspect(path)

    inspect = audio_files.inspect_audio
    monkeypatch.setattr(audio_files, "inspect_audio", count)
    read_iemocap(str(tree))
    assert sorted(opened) == sorted(FOUR_CLASSES)


@pytest.mark.parametrize(
    "old, new, number, what",
    [
        ("[6.2901 - 8.2357]", "[6.2901 8.2357]", 3, "Utterances"),
        ("\tang\t", "\tbad\t", 3, "Utterances"),
        ("\tang\t", "\tnan\t", 3, "Utterances"),
        ("F000\t", "X000\t", 3, "Utterances"),
        ("2.5000, 3.5000, 2.0000", "2.5000", 3, "Utterances"),
        ("C-E2:\tAnger;", "C-E2:\tAngerr;", 4, "Annotators' lines"),
        ("C-E2:\tAnger;\t()", "C-E2: Anger;", 4, "Annotators' lines"),
        ("C-E2:", "C-X2:", 4, "Annotators' lines"),
        ("A-E3:\t", "A-E3 ", 8, "Annotators' lines"),
        ("C-E2:\tAnger;\t()", "nonsense", 4, "Lines"),
        ("\n\n[6.2901", "\nC-E9:\tAnger;\t()\n[6.2901", 2, "Lines"),
    ],
)
def test_a_broken_line_costs_no_corpus(tree, old, new, number, what):
    """It alone is left out, and named with its file and number."""
    path = evaluation_file(tree)
    replace_line(path, old, new)
    line = path.read_text().split("\n")[number - 1].strip()
    annotation = read_iemocap(str(tree))
    (row,) = annotation.odd
    assert (row["file"], row["entry"]) == (str(path), f"line {number}")
    assert row["what"].startswith(what) and row["value"] == line
    assert row["done"] == "left out" and not row["usual"]
    lost = {"Ses01F_impro01_F000"} if what == "Utterances" else set()
    assert set(annotation) == FOUR_CLASSES - lost
    votes = annotation["Ses01F_impro01_M000"]["votes"]
    assert votes == [["hap"], ["hap"], ["neu"]]


def test_many_broken_lines_are_no_corpus(tree):
    """More than five, and more than one in a hundred: one sentence."""
    path = evaluation_file(tree)
    path.write_text(path.read_text() + "nonsense\n" * 6)
    with pytest.raises(InputError) as error:
        read_iemocap(str(tree))
    message = str(error.value)
    assert "6 of 9 utterances of" in message and "more than 1 %" in message
    assert f"'{path}', line 27: Lines that can't be read: nonsense" in message
    assert message.endswith(
        "; ...; correct them or copy the files again from the release."
    )
    assert "\n" not in message


@pytest.mark.parametrize(
    "text, known, usual",
    [
        ("2.5000, 3.5000, ", {"valence": 2.5, "arousal": 3.5}, "yes"),
        ("2.5000, 3.5000, nan", {"valence": 2.5, "arousal": 3.5}, "yes"),
        ("2.5000, 3.5000", {"valence": 2.5, "arousal": 3.5}, "yes"),
        ("-, 3.5000, 2.0000", {"arousal": 3.5, "dominance": 2.0}, ""),
        ("5.5, 3.5, 0.5", {"valence": 5, "arousal": 3.5, "dominance": 1}, ""),
        ("25.0, 3.5, low", {"arousal": 3.5}, ""),
    ],
)
def test_odd_ratings_cost_no_utterance(tree, text, known, usual):
    """Clamped where they are near, else not known; a dominance lacks often."""
    replace_line(evaluation_file(tree), "2.5000, 3.5000, 2.0000", text)
    annotation = read_iemocap(str(tree))
    entry = annotation["Ses01F_impro01_F000"]
    names = ("valence", "arousal", "dominance")
    assert {k: v for k, v in entry.items() if k in names} == known
    assert len(annotation.odd) == (2 if text[0] in "25" and not usual else 1)
    assert {row["usual"] for row in annotation.odd} == {usual}


def test_a_missing_dominance_is_never_too_much(tree, logged):
    """However many there are: the release has them."""
    for path in tree.rglob("EmoEvaluation/Ses*.txt"):
        path.write_text(path.read_text().replace(", 2.0000]", ", ]"))
    annotation = read_iemocap(str(tree))
    assert set(annotation) == FOUR_CLASSES and len(annotation.odd) == 9
    assert all("dominance" not in entry for entry in annotation.values())
    assert [level for level, _ in logged] == [logging.INFO, logging.WARNING]
    assert logged[0][1].startswith("Ratings of dominance that are missing, ")


def test_an_empty_label_file_is_counted_and_said(tree):
    """0 bytes; so are dialogs that the release has and this copy has not."""
    path = evaluation_file(tree, "Ses02F_script01_1")
    path.write_text("")
    annotation = read_iemocap(str(tree))
    (row,) = annotation.odd
    assert (row["file"], row["what"]) == (
        str(path),
        "Label files without labels",
    )
    assert len(annotation) == 6


def test_words_for_missing_are_no_vote(tree):
    """An annotator who named none says nothing."""
    replace_line(evaluation_file(tree), "C-E2:\tAnger;", "C-E2:\tNone; n/a;")
    annotation = read_iemocap(str(tree))
    assert annotation["Ses01F_impro01_F000"]["votes"] == [
        ["ang", "fru"],
        ["ang"],
    ]
    assert annotation.odd == []


def test_an_annotator_without_a_word_has_no_vote(tree):
    """`C-E2:` with an empty field is no vote and no error."""
    replace_line(evaluation_file(tree), "C-E2:\tAnger;", "C-E2:\t;")
    entry = read_iemocap(str(tree))["Ses01F_impro01_F000"]
    assert entry["votes"] == [["ang", "fru"], ["ang"]]


def test_windows_line_ends_and_odd_bytes_in_comments(tree):
    """A comment in another encoding, CRLF at the ends."""
    path = evaluation_file(tree)
    text = path.read_bytes().replace(b"almost", b"\xe9\x97")
    path.write_bytes(text.replace(b"\n", b"\r\n"))
    assert set(read_iemocap(str(tree))) == FOUR_CLASSES


def test_an_utterance_in_two_files(tree):
    """A copied file would count its utterances twice."""
    path = evaluation_file(tree)
    copy = path.with_name("copy.txt")
    copy.write_text(path.read_text())
    with pytest.raises(InputError, match="Ses01F_impro01_F000 stands in"):
        read_iemocap(str(tree))


def test_missing_audio_is_named(tree):
    """One missing and one truncated file cost their utterances alone."""
    folder = tree / "Session3" / "sentences" / "wav" / "Ses03M_impro05a"
    names = ["Ses03M_impro05a_F003", "Ses03M_impro05a_M000"]
    (folder / f"{names[0]}.wav").unlink()
    cut = folder / f"{names[1]}.wav"
    cut.write_bytes(cut.read_bytes()[:500])
    annotation = read_iemocap(str(tree))
    assert set(annotation) == FOUR_CLASSES - set(names)
    assert [row["entry"] for row in annotation.odd] == names
    said = [row["value"] for row in annotation.odd]
    assert "F003.wav' is missing" in said[0] and "is truncated" in said[1]
    for path in tree.rglob("Ses*.wav"):
        path.unlink()
    with pytest.raises(InputError, match="is missing.*6 more files are bad"):
        read_iemocap(str(tree))


def test_missing_folder(tmp_path):
    """The mend names the folder to give."""
    with pytest.raises(InputError, match="no folder.*IEMOCAP_full_release"):
        read_iemocap(str(tmp_path / "nowhere"))


def test_another_folder(tmp_path):
    """What is expected is said."""
    (tmp_path / "Session1").mkdir()
    with pytest.raises(InputError, match="Session1/dialog/EmoEvaluation"):
        read_iemocap(str(tmp_path))


def test_the_folder_above(tree):
    """The right folder is named."""
    with pytest.raises(InputError, match=f"above IEMOCAP: give '{tree}'"):
        read_iemocap(str(tree.parent))


def test_one_session(tree):
    """The right folder is named."""
    with pytest.raises(InputError, match=f"one session: .* '{tree}'"):
        read_iemocap(str(tree / "Session2"))


@pytest.mark.parametrize("labels", [["happy"], ["xxx"], ["exc"], []])
def test_wrong_labels(tree, labels):
    """Unknown, the absence of a majority, merged away, none."""
    with pytest.raises(InputError, match="give words among ang, hap, sad, neu"):
        read_iemocap(str(tree), labels=labels)


def test_no_utterance_left(tree):
    """A class that the tree lacks."""
    with pytest.raises(InputError, match="no utterance with a label among sur"):
        read_iemocap(str(tree), labels=["sur"])


def test_missing_sessions_are_named(tree, caplog):
    """Whatever corpus it is."""
    held = os.listdir(tree)
    names = [f"Session{number}" for number in range(1, 6)]
    missing = [name for name in names if name not in held]
    read_iemocap(str(tree))
    assert missing and f"'{tree}' lacks {', '.join(missing)}" in caplog.text


def test_a_part_of_the_release_is_warned_of(tree, logged):
    """Far fewer utterances."""
    read_iemocap(str(tree))
    ((level, text),) = logged
    assert level == logging.WARNING
    assert f"has {len(UTTERANCES)} utterances in 5 label files" in text
    assert "has 10039 in 151" in text


def test_another_corpus_is_no_warning(tree, logged):
    """The README says that it is something else."""
    (tree / "README.txt").write_text("This is NOT IEMOCAP. It is EMO-DB.\n")
    read_iemocap(str(tree))
    ((level, text),) = logged
    assert level == logging.INFO
    assert str(tree) in text


def test_expected_counts():
    """The four classes of the literature: 5531 utterances."""
    assert sum(iemocap.EXPECTED_COUNTS.values()) == 5531


@pytest.mark.parametrize("as_expected", [True, False])
def test_the_full_release_is_compared(tree, logged, monkeypatch, as_expected):
    """All utterances are there: the classes are compared, excited in hap."""
    counts = {"ang": 1, "hap": 2, "sad": 2, "neu": 2}
    if not as_expected:
        counts["neu"] = 3
    monkeypatch.setattr(iemocap, "EXPECTED_UTTERANCES", len(UTTERANCES))
    monkeypatch.setattr(iemocap, "EXPECTED_COUNTS", counts)
    assert len(read_iemocap(str(tree), labels=["sad"])) == 2
    if as_expected:
        assert logged == []
    else:
        ((level, text),) = logged
        assert level == logging.WARNING
        assert text.split("\n")[-1].split() == ["neu", "2", "3"]
