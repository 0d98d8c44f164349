"""MEnAN's recipe with what can't be trained on: one sentence each."""

import pytest

from speechbrain_ser.corpora.protocols.protocol import Protocol
from speechbrain_ser.experiment import reading
from speechbrain_ser.experiment.declarations import check_settings
from speechbrain_ser.experiment.hparams import with_overrides
from speechbrain_ser.methods.menan import MEnANBrain
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import check
from tests.recipes.helpers import MENAN, check_sentence, import_script, results
from tests.recipes.menan_runs import (
    SMALL,
    check_refused,
    read,
    run,
    stamps,
    write,
)

# Bad input


BAD_SETTINGS = [
    ({"system": "menon"}, "--system is 'menon': give one of emotion_only, mul"),
    ({"class_weights": "some"}, "--class_weights is 'some': .*none, balanced"),
    ({"model_selection": "luck"}, "--model_selection is 'luck': .*best, last"),
    ({"number_of_epochs": 0}, "--number_of_epochs is 0: give a whole number"),
    ({"batch_size": 1}, "--batch_size is 1: give a whole number from 2"),
    ({"batch_size": 2.5}, "--batch_size is 2.5: give a whole number"),
    (
        {"emotion_weight": 1.5},
        "--emotion_weight is 1.5: give a number above 0 t",
    ),
    ({"emotion_weight": -0.1}, "--emotion_weight is -0.1"),
    ({"emotion_weight": "much"}, "--emotion_weight is 'much'"),
    ({"emotion_weight": float("nan")}, "--emotion_weight is nan"),
    ({"emotion_weight": True}, "--emotion_weight is True"),
    (
        {"speaker_steps": 0},
        "--speaker_steps is 0: give a whole number from 1$",
    ),
    ({"speaker_memory": -1}, "--speaker_memory is -1: give a whole number"),
    ({"speaker_memory": 2.5}, "--speaker_memory is 2.5"),
    ({"speaker_batch_size": 1}, "--speaker_batch_size is 1: .* from 2"),
    ({"speaker_noise": -1}, "--speaker_noise is -1: give a number from 0"),
    ({"lr": -1}, "--lr is -1: give a number above 0"),
    ({"lr": "1e-3 "}, "--lr is '1e-3 '"),
    ({"lr_speaker": -1}, "--lr_speaker is -1"),
    ({"lr_power": -1}, "--lr_power is -1"),
    ({"reversal_scale": float("inf")}, "--reversal_scale is inf"),
    ({"duration": 0.2}, "--duration is 0.2: give a number from 0.3"),
    ({"ramp": "no"}, "--ramp is 'no': give True or False"),
    ({"standardise": 1}, "--standardise is 1: give True or False"),
    ({"speaker_probe": None}, "--speaker_probe is None: give True or False"),
    ({"labels": "ang,sad"}, "--labels is 'ang,sad': give a list in brackets"),
    ({"speeds": 0.9}, "--speeds is 0.9: give a list in brackets"),
    ({"speeds": None}, "--speeds is None"),
    ({"speeds": [1.1, 1]}, "--speeds is .*other than 1"),
    ({"speeds": [0.2]}, "--speeds is .*from 0.25 to 4"),
    ({"speeds": ["fast"]}, "--speeds is .*'fast': give a number"),
    ({"speeds": [True]}, "--speeds is .*True: give a number"),
    ({"cache_folder": None}, "--cache_folder is None: .*for the features"),
]


def checked(**settings):
    """Checks settings as a planned run does, before anything is read."""
    path, recipe = str(MENAN.parent / SMALL), import_script(MENAN).RECIPE
    text = with_overrides("", **settings)
    # YAML's words for what is no number
    text = text.replace("NaN", ".nan").replace("Infinity", ".inf")
    overrides, _ = recipe.filled_in(path, text, None)
    check_settings(path, overrides)


def test_bad_settings_are_one_sentence():
    """Each by itself; the good ones pass, at their limits too."""
    checked()
    for more in (
        {"emotion_weight": 1e-9, "speaker_memory": 0, "reversal_scale": 0},
        {"emotion_weight": 1, "speeds": [0.25, 4, 0.9], "lr_power": 0},
        {"duration": 0.3, "speaker_steps": 1, "batch_size": 2},
    ):
        checked(**more)
    for more, said in BAD_SETTINGS:
        with pytest.raises(InputError, match=said) as error:
            checked(**more)
        assert "\n" not in str(error.value)
    # what is null in a file is filled in
    with pytest.raises(InputError, match="--emotion_weight is None: give a n"):
        check(MEnANBrain, {"emotion_weight": None})


@pytest.mark.parametrize(
    "more, said",
    [
        ({"system": "menon"}, "--system is 'menon'"),
        ({"speeds": "0.9, 1.1"}, "--speeds is '0.9, 1.1': give a list"),
        ({"lr_speaker": "slow"}, "--lr_speaker is 'slow'"),
        ({"fold": 6}, "--fold is 6: give a whole number from 1 to 5"),
        ({"fold": 0}, "fold is 0"),
        ({"fold": "last"}, "fold is 'last'"),
        ({"fold": None}, "fold is None"),
        ({"labels": ["ang", "joy"]}, "labels is .*'joy'"),
        ({"data_folder": "/nowhere"}, "'/nowhere' is no folder"),
        ({"no_such_setting": 1}, "menan_small.yaml has no setting no_such_s"),
        ({"emotion_weigt": 1}, "weigt: did you mean --emotion_weight.$"),
    ],
    ids=str,
)
def test_bad_command_lines_are_one_sentence(more, said, settings, tmp_path):
    """Before anything is written."""
    check_refused(said, **settings | more, output_folder=tmp_path / "out")


def test_a_session_of_one_speaker(settings, tmp_path, monkeypatch):
    """There are no two who could switch: said with the session."""
    original = Protocol.split

    def split(protocol, annotation, *args, **kwargs):
        """Without one speaker."""
        kept = {
            k: e for k, e in annotation.items() if e["speaker"] != "Ses02_F"
        }
        return original(protocol, kept, *args, **kwargs)

    monkeypatch.setattr(reading, "HELD", {})  # what was split before
    monkeypatch.setattr(Protocol, "split", split)
    more = settings | {"fold": 2, "output_folder": tmp_path / "out"}
    check_refused("[Ss]ession.*Ses02_M|Ses02_M.*[Ss]ession", **more)


def test_bad_annotations_are_one_sentence(trained, settings, tmp_path):
    """Without speakers, of one alone, without label, audio or a file."""
    folder = trained(system="menan")
    parts = {part: read(folder, part) for part in ("train", "test")}
    # a valid part of one's own
    half = list(parts["test"])[::2]
    parts["valid"] = {key: parts["test"].pop(key) for key in half}
    train = parts["train"]
    key, first = next(iter(train.items()))
    broken = tmp_path / "broken.wav"
    broken.write_text("no sound")
    more = settings | {"data_folder": None, "output_folder": tmp_path / "out"}

    def refused(name, said, **changed):
        """With one of the parts changed."""
        line = write(tmp_path / name, **parts | changed)
        check_refused(said, *line, **more)

    def other(**values):
        """With another first entry."""
        return {"train": train | {key: first | values}}

    mute = {k: v for k, v in first.items() if k != "speaker"}
    said = f"the train part's utterance {key} has no speaker"
    refused("mute", said, train=train | {key: mute})
    alone = {k: e | {"speaker": "A"} for k, e in train.items()}
    refused("alone", "the train part are of the speaker A: .*two", train=alone)
    bare = {k: v for k, v in first.items() if k != "emotion"}
    refused("bare", f"'{key}' lacks 'emotion'", train=train | {key: bare})
    said = f"train.json: .*{key} has the emotion 'joy'.*--labels"
    refused("joy", said, **other(emotion="joy"))
    tested = next(iter(parts["test"]))
    joy = parts["test"][tested] | {"emotion": "joy"}
    joy = {"test": parts["test"] | {tested: joy}}
    validated = next(iter(parts["valid"]))
    glad = parts["valid"][validated] | {"emotion": "joy"}
    glad = {"valid": parts["valid"] | {validated: glad}}
    said = f"valid.json: .*{validated} has the emotion 'joy'"
    refused("valid joy", said, **glad)
    refused("test joy", f"test.json: .*{tested} has the emotion 'joy'", **joy)
    gone = str(tmp_path / "gone.wav")
    refused("gone", "gone.wav' is missing", **other(wav=gone))
    refused("sound", "broken.wav' is not audio", **other(wav=str(broken)))
    refused("empty", "train.json' holds no entry", train={})
    twice = {"test": parts["test"] | {key: first}}
    refused("twice", f"'{key}' stands in train and in test", **twice)
    calm = {k: e for k, e in train.items() if e["emotion"] != "ang"}
    refused("calm", "'train' has no utterance of ang", train=calm)
    line = write(tmp_path / "lost", **parts)
    for name in ("train", "test"):
        (tmp_path / "lost" / f"{name}.json").rename(tmp_path / "away")
        check_refused(f"{name}.json' is missing", *line, **more)
        (tmp_path / "away").rename(tmp_path / "lost" / f"{name}.json")


def test_a_folder_of_another_run_is_left_alone(trained, settings):
    """Another system, weight or speed in a finished folder."""
    folder = trained(system="menan")
    before = results(folder), stamps(folder)
    for name, value in (
        ("system", "dat"),
        ("emotion_weight", 0.4),
        ("speeds", [0.9]),
    ):
        error = run(**settings | {name: value, "output_folder": folder})
        check_sentence(error, f"holds a run with .*{name} = |and \\d+ more")
        assert "--output_folder" in error
    assert before == (results(folder), stamps(folder))
