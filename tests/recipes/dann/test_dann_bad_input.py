"""DANN's recipe refuses what it can't use: settings, corpora, annotations."""

import re
import shutil

import pytest

from tests.recipes.dann_runs import bare, check_refused, plan, run, write
from tests.recipes.helpers import check_sentence

RATINGS = "RECOLA-Annotation/emotional_behaviour"


@pytest.fixture(scope="module")
def languages(folders):
    """The annotations of both, as a run writes them."""
    parts = plan(**folders).parts
    held = {
        "source": parts["train"],
        "target": parts["valid"] | parts["test"],
    }
    return {
        name: {
            key: {k: v for k, v in entry.items() if k != "domain"}
            for key, entry in annotation.items()
        }
        for name, annotation in held.items()
    }


@pytest.mark.parametrize(
    "more, said",
    [
        ({"system": "dan"}, "--system is 'dan': give one of dann, base, mono"),
        ({"batch_norm": "bn5"}, "--batch_norm is 'bn5': .*bn1, bn2, bn3, bn4"),
        ({"direction": "rec"}, "--direction is 'rec': .* rec2iem, iem2rec"),
        ({"task": "joy"}, "--task is 'joy': give one of arousal, valence"),
        (
            {"valid_language": "test", "system": "mono"},
            "--valid_language is 'test': .*target, source",
        ),
        ({"split_by": "word"}, "--split_by is 'word': .*utterance, speaker"),
        ({"penalty": "l3"}, "--penalty is 'l3': give one of l1, l2, none"),
        ({"class_weights": "some"}, "--class_weights is 'some'"),
        (
            {"system": "base", "batch_norm": "bn3"},
            "--batch_norm bn3.*bn1.*none",
        ),
        ({"system": "mono", "batch_norm": "bn2"}, "--batch_norm bn2.*mono"),
        ({"alpha": 1.5}, "--alpha is 1.5: give a number above 0 to 1"),
        ({"alpha": ".nan"}, "--alpha is nan"),
        ({"beta": -1}, "--beta is -1: give a number from 0"),
        ({"beta": ".inf"}, "--beta is inf"),
        ({"batch_size": 1}, "--batch_size is 1: give a .*number from 2"),
        ({"penalty_weight": -1}, "--penalty_weight is -1"),
        ({"valid_share": 1.5}, "share.* is 1.5"),
        ({"valid_share": "a third"}, "share.* is 'a third'"),
        ({"recola_threshold": "low"}, "--recola_threshold is 'low'"),
        ({"iemocap_threshold": None}, "--iemocap_threshold is None"),
        ({"recola_threshold": 1}, "'train' has no utterance of high"),
        ({"iemocap_threshold": 5}, "'test' has no utterance of high"),
        ({"iemocap_threshold": 0.5}, "'test' has no utterance of low"),
        ({"recola_threshold": -1.5, "system": "base"}, "'train'.* of low"),
        ({"recola_folder": None}, "--recola_folder is missing: all of.*needed"),
        (
            {"iemocap_folder": None},
            "--iemocap_folder is missing: all of.*needed",
        ),
        ({"recola_folder": "/nowhere"}, "/nowhere.* no folder.*RECOLA"),
        ({"iemocap_folder": "/nowhere"}, "/nowhere.* no folder.*IEMOCAP"),
        ({"cache_folder": None}, "--cache_folder"),
        ({"labels": "[low]"}, "'high', which is not among the labels low"),
        ({"labels": "[low,high,joy]"}, "'train' has no utterance of joy"),
        ({"labels": "low,high"}, "--labels is 'low,high': give a list"),
    ],
    ids=str,
)
def test_bad_settings_are_one_sentence(more, said, settings, tmp_path):
    """Naming the setting, before anything is written."""
    check_refused(said, settings | more, tmp_path / "out")


def test_swapped_corpora_are_refused(folders, settings, tmp_path):
    """RECOLA given as IEMOCAP, and both ways; each names the folder."""
    recola, iemocap = folders["recola_folder"], folders["iemocap_folder"]
    for more, said, path in (
        ({"recola_folder": iemocap}, "is not RECOLA", iemocap),
        ({"iemocap_folder": recola}, "is not IEMOCAP", recola),
        (
            {"recola_folder": iemocap, "iemocap_folder": recola},
            "is not RECOLA",
            iemocap,
        ),
    ):
        check_refused(said, settings | more, tmp_path / "out", [path])


def replace(path, pattern, by, count=1):
    """Replaces a regular expression in a file, which must be in it."""
    text, n = re.subn(pattern, by, path.read_text(), count=count, flags=re.M)
    assert n == count or not count and n
    path.write_text(text)
    return path


def less_annotators(root):
    """Takes one column of the ratings of one recording."""
    return replace(root / RATINGS / "arousal" / "P17.csv", r";[^;\n]*$", "", 0)


def commas(root):
    """Another separator."""
    return replace(root / RATINGS / "valence" / "P19.csv", ";", ",", 0)


def not_a_number(root):
    """A rating in the middle."""
    path = root / RATINGS / "arousal" / "P21.csv"
    return replace(path, r"^4\.00;[^;]*", "4.00;nan")


def beyond(root):
    """A last utterance behind the end of the recording."""
    path = root / "RECOLA-Audio_timings" / "P23.csv"
    path.write_text(path.read_text() + "900.00;901.50\n")
    return path


def nobody_spoke(root):
    """A recording whose timings are a header alone."""
    path = root / "RECOLA-Audio_timings" / "P16.csv"
    path.write_text("start;stop\n")
    return path


def first_wav(root):
    """An audio file of either corpus."""
    names = sorted(root.rglob("*.wav"))
    return next(path for path in names if not path.name.startswith("._"))


def cut(root):
    """An audio file that is shorter than its header says."""
    path = first_wav(root)
    path.write_bytes(path.read_bytes()[:-100])
    return path


def missing(root):
    """No audio file."""
    path = first_wav(root)
    path.unlink()
    return path


@pytest.mark.parametrize(
    "corpus, spoil, said",
    [
        (
            "recola",
            less_annotators,
            r"P17.csv', line 1 lacks the annotator FF3",
        ),
        ("recola", commas, r"P19.csv', line 1 is separated by commas"),
        ("recola", nobody_spoke, r"P16.csv' holds no row of numbers"),
        ("recola", cut, "truncated"),
        ("recola", missing, "has no '.*P16.wav' beside it"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_broken_corpora_are_one_sentence(
    corpus, spoil, said, folders, settings, tmp_path
):
    """With the file and the line, before anything is written."""
    root = tmp_path / "corpus"
    shutil.copytree(folders[f"{corpus}_folder"], root)
    path = spoil(root)
    more = settings | {f"{corpus}_folder": root}
    check_refused(said, more, tmp_path / "out", [path])


@pytest.mark.parametrize(
    "corpus, spoil, said",
    [
        ("recola", not_a_number, "Ratings that are no numbers"),
        ("recola", beyond, "Utterances outside of their recording"),
        ("iemocap", cut, "Utterances whose audio is missing or broken"),
        ("iemocap", missing, "Utterances whose audio is missing or broken"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_one_odd_entry_costs_no_corpus(
    corpus, spoil, said, folders, settings, tmp_path
):
    """It is left out of the split, and told of either language."""
    from speechbrain_ser.experiment.alone import load_alone
    from speechbrain_ser.utils.odd_entries import odd_rows

    root = tmp_path / "corpus"
    shutil.copytree(folders[f"{corpus}_folder"], root)
    path = spoil(root)
    more = {k: str(v) for k, v in folders.items()}
    planned = plan(**more | {f"{corpus}_folder": str(root)})
    made = load_alone(planned.path, planned.overrides, "corpus", False)
    read = made()
    (row,) = odd_rows(read)
    assert (row["file"], row["what"]) == (str(path), said)
    whole = sum(map(len, read.values()))
    assert sum(map(len, planned.parts.values())) == whole + len(read["target"])


def test_bad_annotations_are_one_sentence(languages, settings, tmp_path):
    """Empty, missing, of other words, with broken audio; of either language."""
    broken = tmp_path / "broken.wav"
    broken.write_text("no sound")
    out = tmp_path / "out"

    def refused(name, said, **changed):
        """With one of the languages changed."""
        mine = write(tmp_path / name, **languages | changed)
        check_refused(said, settings | mine, out)

    for language, held in languages.items():
        first = next(iter(held))

        def other(**more):
            """With other values of the first entry."""
            return {language: held | {first: held[first] | more}}

        refused(
            f"no {language}",
            f"{language}.json' holds no entry",
            **{language: {}},
        )
        refused(
            f"wav {language}",
            "broken.wav' is not audio",
            **other(wav=str(broken)),
        )
        said = f"{first} has the emotion 'joy'.*among the labels low"
        refused(f"joy {language}", said, **other(emotion="joy"))
        gone = write(tmp_path / "gone", **languages)
        gone[f"{language}_annotation"].unlink()
        said = f"{language}.json' is missing: give --{language}_annotation"
        check_refused(said, settings | gone, out)
        shutil.rmtree(tmp_path / "gone")
    source = dict(languages["source"])
    key = next(iter(source))
    source[key] = {k: v for k, v in source[key].items() if k != "emotion"}
    refused("bare", f"'{key}' lacks 'emotion'", source=source)
    names = {"low": "calm", "high": "wild"}
    for language, held in languages.items():
        renamed = {
            key: entry | {"emotion": names[entry["emotion"]]}
            for key, entry in held.items()
        }
        said = "emotion '(calm|wild)'|no utterance of low.*high"
        refused(f"names {language}", said, **{language: renamed})


def test_speakers_that_are_not_named(languages, settings, tmp_path):
    """--split_by speaker with annotations that say nobody's name."""
    target = {
        key: {k: v for k, v in entry.items() if k != "speaker"}
        for key, entry in languages["target"].items()
    }
    more = settings | write(tmp_path, **languages | {"target": target})
    more |= {"split_by": "speaker"}
    said = "has no speaker, which --split_by speaker needs"
    check_refused(said, more, tmp_path / "out")


@pytest.mark.parametrize(
    "more, said",
    [
        ({}, "no utterance of the target.*--valid_language source"),
        (
            {"system": "base"},
            "no utterance of the target.*--valid_language sour",
        ),
        ({"system": "mono"}, "no utterance of the target.*dann or base"),
    ],
    ids=["dann", "base", "mono"],
)
def test_target_without_labels_is_refused(
    more, said, languages, settings, tmp_path
):
    """Where its labels would choose the epoch, or train."""
    mine = languages | {"target": bare(languages["target"])}
    more = settings | write(tmp_path, **mine) | more
    check_refused(said, more, tmp_path / "out")


def test_a_cache_that_can_not_be_written(settings, tmp_path):
    """A file where its folder would be: one sentence that names it."""
    (tmp_path / "taken").write_text("a file")
    more = settings | {"cache_folder": tmp_path / "taken" / "kept"}
    error = run(**more, output_folder=tmp_path / "out")
    check_sentence(error, f"{tmp_path}/taken/kept.*can't be written")
    assert not (tmp_path / "out" / "curves.csv").exists()
