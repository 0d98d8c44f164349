"""The reader of IEMOCAP on tiny trees with the release's oddities."""

import logging
import os

import pytest

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
    "old, new, number",
    [
        ("[6.2901 - 8.2357]", "[6.2901 8.2357]", 3),
        ("\tang\t", "\tbad\t", 3),
        ("F000\t", "X000\t", 3),
        ("2.5000, 3.5000, 2.0000", "2.5000, 3.5000", 3),
        ("C-E2:\tAnger;", "C-E2:\tAngerr;", 4),
        ("C-E2:\tAnger;\t()", "C-E2: Anger;", 4),
        ("C-E2:", "C-X2:", 4),
        ("A-E3:\t", "A-E3 ", 8),
        ("C-E2:\tAnger;\t()", "nonsense", 4),
        ("\n\n[6.2901", "\nC-E9:\tAnger;\t()\n[6.2901", 2),
    ],
)
def test_a_broken_line_is_named(tree, old, new, number):
    """File, number, the line and the mend."""
    path = evaluation_file(tree)
    replace_line(path, old, new)
    line = path.read_text().split("\n")[number - 1].strip()
    with pytest.raises(InputError) as error:
        read_iemocap(str(tree))
    message = str(error.value)
    assert f"'{path}', line {number} " in message
    assert f"'{line}'" in message
    assert "correct it or copy" in message


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
    """The first missing file and how many more are missing."""
    folder = tree / "Session3" / "sentences" / "wav" / "Ses03M_impro05a"
    for name in ["Ses03M_impro05a_F003", "Ses03M_impro05a_M000"]:
        (folder / f"{name}.wav").unlink()
    with pytest.raises(InputError) as error:
        read_iemocap(str(tree))
    assert "Ses03M_impro05a_F003.wav' is missing" in str(error.value)
    assert "1 more file is bad" in str(error.value)


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
    assert f"has {len(UTTERANCES)} utterances" in text
    assert "10039" in text


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
