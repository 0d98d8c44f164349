"""Two languages: their parts, and what is refused of annotations of one's own."""

import pytest

from speechbrain_ser.corpora.annotations import write_annotation
from speechbrain_ser.corpora.protocols.cross_lingual import (
    CROSS_LINGUAL,
    MONO_LINGUAL,
)
from speechbrain_ser.corpora.protocols.open_lingual import SPEAKERS_APART
from speechbrain_ser.experiment.two_languages import (
    TwoLanguages,
    split_languages,
)
from speechbrain_ser.utils.errors import InputError

LABELS = ["low", "high"]
PROTOCOL = {"dann": CROSS_LINGUAL, "mono": MONO_LINGUAL}
SETTINGS = CROSS_LINGUAL.splitting | MONO_LINGUAL.splitting


@pytest.fixture
def languages(tones):
    """Six tones each, of two classes."""
    entries = {
        key: entry | {"emotion": LABELS[i // 2 % 2], "speaker": f"s{i % 4}"}
        for i, (key, entry) in enumerate(tones.items())
    }
    keys = list(entries)
    return {
        "source": {key: entries[key] for key in keys[::2]},
        "target": {key: entries[key] for key in keys[1::2]},
    }


def make(folder, languages, **protocol_settings):
    """An experiment with annotations of one's own, and their paths."""
    paths = {name: str(folder / f"{name}.json") for name in languages}
    for name, annotation in languages.items():
        write_annotation(paths[name], annotation)
    return TwoLanguages(
        alone=("mono",),
        output_folder=str(folder / "out"),
        corpus_name="mine",
        labels=LABELS,
        seed=1,
        annotations=paths,
        protocol_settings=protocol_settings,
        skip_prep=True,
        protocol=PROTOCOL,
        about=lambda settings: settings,
    )


def test_parts_say_their_domain(languages, tmp_path):
    """And `target` is all of it, without labels; what was read is unchanged."""
    settings = SETTINGS | {"system": "dann"}
    parts, protocol = make(tmp_path, languages).make_parts(settings)
    assert protocol == "cross-lingual@1 on annotations of one's own"
    assert list(parts) == ["train", "valid", "test", "target"]
    assert parts["train"].keys() == languages["source"].keys()
    tested = parts["valid"] | parts["test"]
    assert tested.keys() == parts["target"].keys() == languages["target"].keys()
    for name, domain in zip(parts, (0, 1, 1, 1)):
        assert {entry["domain"] for entry in parts[name].values()} == {domain}
    kept = {"wav", "start", "stop", "duration", "domain", "speaker"}
    assert {k for e in parts["target"].values() for k in e} == kept
    assert all("domain" not in e for e in languages["source"].values())


@pytest.mark.parametrize("system, expected", [("dann", True), ("mono", False)])
def test_the_report_says_whether_it_is_transductive(
    system, expected, languages, tmp_path
):
    """As the system's protocol is."""
    facts = make(tmp_path, languages).facts({"system": system})
    assert facts["transductive"] is expected


def test_the_target_alone_is_the_source_of_all(languages, tmp_path):
    """`mono`: no part is without labels."""
    settings = SETTINGS | {"system": "mono"}
    parts, protocol = make(tmp_path, languages).make_parts(settings)
    assert protocol == "mono-lingual@1 on annotations of one's own"
    assert list(parts) == ["train", "valid", "test"]
    found = [e for part in parts.values() for e in part.values()]
    assert len(found) == 6 and {entry["domain"] for entry in found} == {0}


def test_changes_of_the_protocol_reach_it(languages):
    """The source may choose the epoch; its utterances are then of domain 0."""
    changes = {"valid_language": "source", "source_valid_share": 0.5}
    parts = split_languages(languages, CROSS_LINGUAL, changes)
    assert {entry["domain"] for entry in parts["valid"].values()} == {0}
    assert parts["valid"].keys() | parts["train"].keys() == (
        languages["source"].keys()
    )


@pytest.mark.parametrize("language", ["source", "target"])
def test_a_foreign_word_is_named_with_its_file(language, languages, tmp_path):
    """Also where it would stand in the valid part."""
    for key in languages[language]:
        held = languages | {
            language: languages[language]
            | {key: languages[language][key] | {"emotion": "joy"}}
        }
        said = f"{language}.json: the utterance {key} has the emotion 'joy'"
        (tmp_path / key).mkdir()
        with pytest.raises(InputError, match=said):
            make(tmp_path / key, held).make_parts(SETTINGS | {"system": "dann"})


def test_speech_of_both_languages_is_refused(languages, tmp_path):
    """Under whatever name; the sentence says both files."""
    shared = next(iter(languages["source"].values()))
    languages["target"] |= {"other": shared}
    said = "utterance other of .*target.json is the same .*source.json"
    with pytest.raises(InputError, match=said):
        make(tmp_path, languages).make_parts(SETTINGS | {"system": "dann"})


@pytest.mark.parametrize(
    "name, value",
    [("valid_share", 1.5), ("mono_test_share", 0), ("split_by", "word")],
)
def test_settings_of_either_protocol_are_checked(
    name, value, languages, tmp_path
):
    """Whichever is used, before anything is read."""
    experiment = make(tmp_path, languages, **{name: value})
    with pytest.raises(InputError, match=f"--{name} is {value!r}"):
        experiment.check_settings({})


def test_the_test_part_needs_all_classes(languages, tmp_path):
    """As the train part does, which is named first."""
    experiment = make(tmp_path, languages)
    parts = split_languages(languages, CROSS_LINGUAL, {})
    low = {k: e for k, e in parts["test"].items() if e["emotion"] == "low"}
    with pytest.raises(InputError, match="'test' has no utterance of high"):
        experiment.check(parts | {"test": low})
    with pytest.raises(InputError, match="'train' has no utterance of high"):
        experiment.check(parts | {"train": low, "test": low})
    experiment.check(parts | {"test": {}})


def test_the_title_names_what_was_run(languages, tmp_path):
    """System, batch norm, languages and task."""
    about = {"system": "dann", "batch_norm": "bn1", "experiment": "a, b"}
    title = make(tmp_path, languages).title(about)
    assert title == "dann (bn1), a, b, mine, seed 1"


def test_a_protocol_may_say_what_is_adapted_to(languages):
    """Then it is that alone, without labels and of the target's domain."""
    parts = split_languages(languages, SPEAKERS_APART, {})
    assert list(parts) == ["train", "valid", "test", "target"]
    whole = parts["test"].keys() | parts["target"].keys()
    assert whole == languages["target"].keys()
    assert not parts["test"].keys() & parts["target"].keys()
    for entry in parts["target"].values():
        assert entry["domain"] == 1 and "emotion" not in entry
    assert {entry["domain"] for entry in parts["test"].values()} == {1}
