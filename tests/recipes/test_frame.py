"""What the frame of all recipes writes is safe: tried on one of them."""

import hashlib
import json
import os
import re
import shutil

import numpy as np
import pytest
import soundfile

from speechbrain.utils.run_opts import RunOptions
from speechbrain_ser.corpora.annotations import (
    read_annotation,
    write_annotation,
)
from speechbrain_ser.experiment.declarations import check_settings, counts
from speechbrain_ser.experiment.evaluate import evaluate
from speechbrain_ser.experiment.hparams import peek, with_overrides
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import NOTHING
from tests.recipes import ipr_runs
from tests.recipes.helpers import RECIPE, ROOT, check_sentence, import_script
from tests.recipes.ipr_runs import TINY, run

SHORT = TINY | {"system": "baseline", "number_of_epochs": 1}
OPTIONS = {"device": "cpu", "noprogressbar": True}


@pytest.fixture(scope="module")
def own(mini_folder, tmp_path_factory):
    """Arguments for annotations of one's own, few utterances a part."""
    folder = tmp_path_factory.mktemp("own")
    return ipr_runs.own(ipr_runs.write_parts(folder, mini_folder))


@pytest.fixture(scope="module")
def trained(own, tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("trained") / "out"
    assert run(*own, **SHORT, output_folder=folder) is None
    return folder


def content(folder):
    """Every file of a folder by its digest.

    But the log, which SpeechBrain writes as long as the process lives.
    """
    return {
        os.path.relpath(os.path.join(here, name), folder): hashlib.sha256(
            open(os.path.join(here, name), "rb").read()
        ).hexdigest()
        for here, _, names in os.walk(folder)
        for name in names
        if name != "log.txt"
    }


def test_the_corrected_command_finds_its_folder_free(own, tmp_path):
    """What is refused has claimed nothing; the name may hold any sign."""
    folder = tmp_path / "x #2: a=b"
    settings = SHORT | {"output_folder": folder}
    for name, value in (
        ("batch_size", 0),
        ("number_of_epochs", 0),
        ("seed", -1),
        ("n_classes", 3),
        ("labels", "[ang, hap, sad, joy]"),
        ("model_selection", "bset"),
    ):
        check_sentence(run(*own, **settings | {name: value}), name[:4])
        assert not (folder / "settings.json").exists()
    assert run(*own, **settings) is None
    assert (folder / "metrics.json").exists() and (folder / "save").exists()
    assert os.listdir(tmp_path) == [folder.name]


def test_several_channels_are_mixed_or_refused(own, tmp_path, caplog):
    """The key changes nothing else: a run is the same with either value."""
    words = dict(zip([word[2:] for word in own[::2]], own[1::2]))
    words |= SHORT | {"several_channels": "refuse", "skip_prep": True}
    del words["device"]
    path = str(RECIPE.parent / ipr_runs.LOGMEL)
    plan = import_script(RECIPE).plan

    def planned(**more):
        """A plan, whose annotations are a user's."""
        return plan(path, with_overrides("", **words | more))

    options = RunOptions()
    keys = {
        planned(several_channels=value).key(options)
        for value in ("mix", "refuse")
    }
    assert len(keys) == 1
    parts = read_annotation(words["train_annotation"])
    key, entry = next(iter(parts.items()))
    samples, rate = soundfile.read(entry["wav"])
    wav = str(tmp_path / "two.wav")
    soundfile.write(wav, np.stack([samples, samples / 2], axis=1), rate)
    annotation = str(tmp_path / "train.json")
    write_annotation(annotation, parts | {key: entry | {"wav": wav}})
    mine = {"train_annotation": annotation}
    said = f"'{wav}' has 2 channels: give --several_channels mix to take"
    with pytest.raises(InputError, match=re.escape(said)):
        planned(**mine)
    with caplog.at_level("INFO"):
        mixed = planned(**mine, several_channels="mix")
    assert f"1 files have several channels (e.g. {wav} has 2)" in caplog.text
    assert mixed.parts["train"][key]["channel"] == "mix"
    one = entry | {"wav": wav, "channel": 1}
    write_annotation(annotation, parts | {key: one})
    assert planned(**mine).parts["train"][key] == one


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "recipes").glob("*/hparams/*.yaml")),
    ids=lambda path: f"{path.parts[-3]}-{path.stem}",
)
def test_every_recipe_can_refuse_several_channels(path):
    """The experiment is given the key, which counts for nothing."""
    settings = peek(str(path), "")
    assert settings["several_channels"] == "mix"
    (own,) = counts(str(path), ["several_channels"]).values()
    assert own == NOTHING
    with pytest.raises(InputError, match="several_channels is 'all': give one"):
        filled = "labels: [a]\nseveral_channels: all\n"
        if "batch_norm" in settings:  # null follows from the system
            filled += "batch_norm: bn1\n"
        check_settings(str(path), filled)


def test_a_trial_gets_into_no_run(trained, own):
    """--debug in the folder of a run."""
    before = content(trained)
    error = run(*own, "--debug", **SHORT, output_folder=trained)
    check_sentence(error, "holds a run")
    assert content(trained) == before


def test_a_run_gets_into_no_trial(own, tmp_path):
    """Whose checkpoints saw two batches."""
    settings = SHORT | {"output_folder": tmp_path / "out"}
    assert run(*own, "--debug", **settings) is None
    check_sentence(run(*own, **settings), "run_options.*debug")


def test_a_changed_picture_reports_anew_without_training(
    trained, own, tmp_path
):
    """Settings of the report may change; the weights and the key stay."""
    shutil.copytree(trained, tmp_path / "out")
    before = json.loads((tmp_path / "out" / "metrics.json").read_text())
    saved = content(tmp_path / "out" / "save")
    more = {"speaker_probe": True, "output_folder": tmp_path / "out"}
    assert run(*own, **SHORT | more) is None
    after = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert after["run"] == before["run"]
    assert after["report"] != before["report"]
    assert "leakage" in after and "leakage" not in before
    assert content(tmp_path / "out" / "save") == saved


def test_a_run_of_another_version_is_left_alone(trained, own, tmp_path):
    """Its folder is refused by one sentence, nothing of it is overwritten."""
    old = tmp_path / "old"
    shutil.copytree(trained, old)
    settings = json.loads((old / "settings.json").read_text())
    settings.pop("format")
    (old / "settings.json").write_text(json.dumps(settings))
    before = content(old)
    error = run(*own, **SHORT, output_folder=old)
    check_sentence(error, "earlier version")
    assert content(old) == before
    with pytest.raises(InputError, match="earlier version"):
        evaluate(str(old), {}, str(tmp_path / "elsewhere"))


def test_evaluation_is_not_training(trained, tmp_path):
    """The run's own test part gives its own numbers; the run is untouched."""
    before = content(trained)
    metrics = json.loads((trained / "metrics.json").read_text())
    rows = (trained / "predictions.csv").read_text().splitlines()
    named = {row.split(",")[0] for row in rows if ",test," in row}
    path = next(
        line.split(": ", 1)[1].strip().strip('"')
        for line in (trained / "overrides.yaml").read_text().splitlines()
        if line.startswith("test_annotation")
    )
    test = read_annotation(path)
    assert set(test) == named
    found = evaluate(
        str(trained), {"test": test}, str(tmp_path / "there"), OPTIONS
    )
    assert set(found["test"]) == named
    again = json.loads((tmp_path / "there" / "metrics.json").read_text())
    assert again["metrics"]["test"] == metrics["metrics"]["test"]
    assert content(trained) == before
    for entry in test.values():
        del entry["emotion"]
    evaluate(str(trained), {"test": test}, str(tmp_path / "bare"), OPTIONS)
    assert (tmp_path / "bare" / "predictions.csv").exists()
    assert content(trained) == before


def test_what_can_not_be_evaluated(trained, tmp_path):
    """No run, no checkpoint, a report inside of the run."""
    with pytest.raises(InputError, match="holds no run: give"):
        evaluate(str(tmp_path), {}, str(tmp_path / "there"))
    with pytest.raises(InputError, match="which is only read"):
        evaluate(str(trained), {}, str(trained / "report"))
    with pytest.raises(InputError, match="the part test has no utterance"):
        evaluate(str(trained), {"test": {}}, str(tmp_path / "there"))
    bare = tmp_path / "bare"
    shutil.copytree(trained, bare)
    shutil.rmtree(bare / "save")
    with pytest.raises(InputError, match="has no checkpoint: train"):
        evaluate(str(bare), {}, str(tmp_path / "there"))
    assert not (tmp_path / "there").exists()
