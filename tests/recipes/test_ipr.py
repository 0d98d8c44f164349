"""The IPR recipe, run as its users run it."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile as sf
import torch

from speechbrain_ser.corpora.annotations import (
    read_annotation,
    write_annotation,
)
from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.protocols.iemocap import AMBIGUITY
from speechbrain_ser.experiment.hparams import with_overrides
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.utils.errors import InputError
from tests.recipes.helpers import (
    RECIPE,
    ROOT,
    SHORT,
    check_sentence,
    import_script,
    in_second_epoch,
    results,
    run_recipe,
    same_weights,
    weights,
)

SYSTEMS = ("baseline", "baseline_plus", "ipr", "supervised")
FIGURES = {
    "confusion.png",
    "curves.png",
    "embedding.png",
    "prototype_similarity.png",
    "pseudo_label_agreement.png",
}


@pytest.fixture(scope="module")
def ready(mini_folder, tmp_path_factory):
    """Annotations of the four parts of the small mini corpus."""
    folder = tmp_path_factory.mktemp("annotations")
    parts = AMBIGUITY.split(read_iemocap(mini_folder), test_size=0.4)
    for part, annotation in parts.items():
        write_annotation(str(folder / f"{part}.json"), annotation)
    return folder


def own(folder):
    """The arguments for annotations of one's own."""
    return ["--skip_prep", "True"] + [
        word
        for part in ("train", "unlabelled", "valid", "test")
        for word in (f"--{part}_annotation", folder / f"{part}.json")
    ]


def with_settings(line, more):
    """A command line with settings of another value; each is given once."""
    settings = dict(zip(line[1::2], line[2::2]))
    settings |= dict(zip(more[::2], more[1::2]))
    return [line[0], *(word for pair in settings.items() for word in pair)]


def command(*arguments):
    """The command line of the recipe."""
    return [sys.executable, str(RECIPE), *map(str, arguments)]


@pytest.mark.parametrize("here", [ROOT, RECIPE.parent])
def test_runs_as_typed(here, tmp_path):
    """Without --data_folder, from the root and from the recipe's folder."""
    os.environ["SPEECHBRAIN_SER_CACHE"] = str(tmp_path.parent / "cache")
    done = subprocess.run(
        [
            sys.executable,
            os.path.relpath(RECIPE, here),
            "hparams/ipr.yaml",
            *SHORT,
            "--output_folder",
            str(tmp_path / "out"),
        ],
        cwd=here,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert "mini corpus" in first and "say nothing about IEMOCAP" in first
    assert "train 1710, unlabelled 3421, test 400" in done.stdout
    for epoch in (1, 2, 3):
        assert done.stdout.count(f"epoch {epoch}/3:") == 1
    assert (tmp_path / "out" / "train_ipr.py").exists()
    metrics, curves, predictions = results(tmp_path / "out")
    assert set(os.listdir(tmp_path / "out" / "figures")) == FIGURES
    assert len(curves) == 3
    assert 0 <= metrics["metrics"]["test"]["UA"] <= 1
    assert metrics["protocol"].startswith("iemocap-ambiguity@1 with ")
    assert metrics["metrics"]["test"]["interval"]["over"] == "speakers"
    assert set(metrics["metrics"]) == {
        "train",
        "valid",
        "unlabelled",
        "test",
    }
    rows = list(csv.DictReader(predictions.splitlines()))
    assert len(rows) == sum(metrics["sizes"].values())
    assert {row["part"] for row in rows} == set(metrics["metrics"])
    for row in rows:
        posterior = [float(row[f"posterior_{w}"]) for w in metrics_labels(row)]
        soft = [float(row[f"soft_label_{w}"]) for w in metrics_labels(row)]
        assert sum(posterior) == pytest.approx(1, abs=1e-5)
        assert sum(soft) == pytest.approx(1, abs=1e-5)
        best = metrics_labels(row)[int(np.argmax(soft))]
        assert row["pseudo_label"] == best


def metrics_labels(row):
    """The class words of a row of predictions.csv, in order."""
    return [k.removeprefix("posterior_") for k in row if k.startswith("post")]


@pytest.mark.parametrize("system", SYSTEMS)
def test_systems_train_on_what_table_3_says(
    system, ready, tmp_path, monkeypatch
):
    """Every system runs; only supervised learns D2's labels."""
    out = tmp_path / "out"
    error = run_recipe(
        monkeypatch,
        "hparams/ipr_logmel.yaml",
        *SHORT,
        *own(ready),
        "--system",
        system,
        "--output_folder",
        out,
    )
    assert error is None
    curves = results(out)[1]
    learns = system in ("baseline_plus", "ipr")
    assert ("pseudo_loss" in curves[-1]) == learns
    assert ("contrastive_loss" in curves[-1]) == (system == "ipr")
    assert "prototype_similarity.png" not in os.listdir(out / "figures") or (
        system == "ipr"
    )


@pytest.mark.parametrize("system", ["baseline", "baseline_plus", "ipr"])
def test_hidden_labels_reach_no_weight(system, ready, tmp_path, monkeypatch):
    """Permuted labels of D2: every weight is the same, bit for bit."""
    permuted = tmp_path / "permuted"
    shutil.copytree(ready, permuted)
    ambiguous = read_annotation(str(ready / "unlabelled.json"))
    words = [entry["emotion"] for entry in ambiguous.values()]
    turned = {"ang": "hap", "hap": "sad", "sad": "neu", "neu": "ang"}
    for entry, word in zip(ambiguous.values(), words):
        entry["emotion"] = turned[word]
        entry["votes"] = [[turned[word]]]
    write_annotation(str(permuted / "unlabelled.json"), ambiguous)
    for name, folder in (("one", ready), ("other", permuted)):
        error = run_recipe(
            monkeypatch,
            "hparams/ipr_logmel.yaml",
            *SHORT,
            *own(folder),
            "--system",
            system,
            "--output_folder",
            tmp_path / name,
        )
        assert error is None
    assert same_weights(tmp_path / "one", tmp_path / "other")
    # the labels did change: the agreement curve, reporting only, says so
    agreement = [
        [row["model_agreement"] for row in results(tmp_path / name)[1]]
        for name in ("one", "other")
    ]
    assert agreement[0] != agreement[1]


def test_supervised_does_learn_the_labels(ready, tmp_path, monkeypatch):
    """The test above could fail: where labels are used, weights differ."""
    permuted = tmp_path / "permuted"
    shutil.copytree(ready, permuted)
    ambiguous = read_annotation(str(ready / "unlabelled.json"))
    for entry in ambiguous.values():
        entry["emotion"] = "ang"
    write_annotation(str(permuted / "unlabelled.json"), ambiguous)
    for name, folder in (("one", ready), ("other", permuted)):
        run_recipe(
            monkeypatch,
            "hparams/ipr_logmel.yaml",
            *SHORT,
            *own(folder),
            "--system",
            "supervised",
            "--output_folder",
            tmp_path / name,
        )
    assert not same_weights(tmp_path / "one", tmp_path / "other")


@pytest.mark.parametrize(
    "more",
    [
        [],
        "--warmup_epochs 0 --precise_per_batch 3 --center domain".split(),
    ],
    ids=["default", "other batches"],
)
def test_killed_and_started_again_is_as_never_stopped(more, ready, tmp_path):
    """SIGKILL in the middle of an epoch after the warm-up, dropout on."""
    arguments = [
        "hparams/ipr_logmel.yaml",
        *with_settings(SHORT, more),
        *own(ready),
        "--ckpt_interval_minutes",
        "0",
        "--ckpt_interval_steps",
        "5",
    ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    run = {"env": environment, "cwd": tmp_path, "text": True}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(
        command(*arguments, "--output_folder", whole), **pipes, **run
    )
    assert done.returncode == 0, done.stdout

    process = subprocess.Popen(
        command(*arguments, "--output_folder", killed), **pipes, **run
    )
    while not in_second_epoch(killed):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "metrics.json").exists()

    done = subprocess.run(
        command(*arguments, "--output_folder", killed), **pipes, **run
    )
    assert done.returncode == 0, done.stdout
    assert "epoch 1/3" not in done.stdout
    assert same_weights(whole, killed)
    assert results(whole) == results(killed)


@pytest.mark.parametrize("other_batches", [False, True])
def test_two_processes_are_as_one(other_batches, ready, tmp_path):
    """torchrun with 2 x 4 utterances: the prototypes of 1 x 8, on both sides.

    Also without a warm-up, with so many of D1 a batch and centred embeddings.
    """
    worker = ROOT / "tests" / "recipes" / "two_processes.py"
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(ROOT))
    for n, batch in ((1, 8), (2, 4)):
        more = {}
        if other_batches:
            more = {"warmup_epochs": 0, "center": "domain"}
            more |= {"precise_per_batch": 4 // n}
        launch = [sys.executable]
        if n == 2:
            launch += ["-m", "torch.distributed.run", "--standalone"]
            launch += ["--nproc_per_node=2"]
        done = subprocess.run(
            [
                *launch,
                str(worker),
                str(ready),
                str(tmp_path / str(n)),
                str(batch),
                json.dumps(more),
            ],
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-3000:]
    one = torch.load(tmp_path / "1" / "rank0.pt", weights_only=True)
    two = [
        torch.load(tmp_path / "2" / f"rank{r}.pt", weights_only=True)
        for r in (0, 1)
    ]
    for key, value in one.items():
        assert torch.equal(two[0][key], two[1][key]), key
        torch.testing.assert_close(two[0][key], value, atol=2e-5, rtol=1e-4)
    assert not torch.equal(one["first.prototypes"], one["last.prototypes"])


def test_frozen_blocks_stay_bit_for_bit(
    ready, small_wav2vec2, tmp_path, monkeypatch
):
    """Through fit, in the paper's setting with a small model."""
    error = run_recipe(
        monkeypatch,
        "hparams/ipr.yaml",
        *SHORT,
        *own(ready),
        "--ssl_source",
        small_wav2vec2,
        "--embedding_dim",
        32,
        "--frozen_layers",
        1,
        "--lr",
        0.001,
        "--num_workers",
        0,
        "--output_folder",
        tmp_path / "out",
    )
    assert error is None
    import safetensors.torch

    before = safetensors.torch.load_file(f"{small_wav2vec2}/model.safetensors")
    after = weights(tmp_path / "out")
    frozen = SSLEncoder(small_wav2vec2, "unused", frozen_layers=1)
    digest = bytes(after.pop("encoder.prefix_sha256").tolist()).hex()
    assert digest == frozen.prefix_digest()
    held = {
        key.removeprefix("encoder.model.")
        for key in after
        if key.startswith("encoder.model.")
    }
    assert held == {
        key
        for key in before
        if key.startswith(("encoder.layers.1.", "encoder.layers.2."))
    }
    assert not all(
        torch.equal(after[f"encoder.model.{key}"], before[key]) for key in held
    )


def test_stricter_split_shares_no_speaker(mini_folder, tmp_path, monkeypatch):
    """--held_out_session: nobody in D3 is trained on."""
    out = tmp_path / "out"
    error = run_recipe(
        monkeypatch,
        "hparams/ipr_logmel.yaml",
        *SHORT,
        "--data_folder",
        mini_folder,
        "--held_out_session",
        3,
        "--output_folder",
        out,
    )
    assert error is None
    speakers = {
        part: {e["speaker"] for e in read_annotation(str(out / f)).values()}
        for part, f in (("train", "train.json"), ("test", "test.json"))
    }
    assert speakers["test"] == {"Ses03_F", "Ses03_M"}
    assert not speakers["train"] & speakers["test"]
    assert (
        json.loads((out / "metrics.json").read_text())["speakers"] == "held out"
    )


def test_split_utterances_are_evaluated_whole(ready, tmp_path, monkeypatch):
    """--long_utterances split: pieces train, predictions are of utterances."""
    out = tmp_path / "out"
    error = run_recipe(
        monkeypatch,
        "hparams/ipr_logmel.yaml",
        *SHORT,
        *own(ready),
        "--max_duration",
        0.9,
        "--long_utterances",
        "split",
        "--output_folder",
        out,
    )
    assert error is None
    log = (out / "log.txt").read_text()
    assert "train: " in log and "longer than 0.9 s (split)" in log
    ids = {row.split(",")[0] for row in results(out)[2].splitlines()[1:]}
    expected = {
        key
        for part in ("train", "unlabelled", "valid", "test")
        for key in read_annotation(str(ready / f"{part}.json"))
    }
    assert ids == expected


@pytest.mark.parametrize(
    "arguments",
    [
        ["--precision", "bf16"],
        ["--class_weights", "balanced"],
        ["--model_selection", "last"],
        ["--pseudo_label_view", "both", "--pseudo_label_filter", "agreed"],
        ["--pseudo_label", "soft", "--update_rule", "weighted"],
        ["--debug"],
    ],
)
def test_switches_run(arguments, ready, tmp_path, monkeypatch):
    """Each to the end, with finite results."""
    error = run_recipe(
        monkeypatch,
        "hparams/ipr_logmel.yaml",
        *SHORT,
        *own(ready),
        *arguments,
        "--output_folder",
        tmp_path / "out",
    )
    assert error is None
    metrics, curves, _ = results(tmp_path / "out")
    assert np.isfinite(float(curves[-1]["train_loss"]))
    assert [row["epoch"] for row in curves] == ["1", "2", "3"][: len(curves)]
    if "last" in arguments:
        assert metrics["selected_epoch"] == 3


def break_audio(entry, how):
    """Breaks the file of an entry in one way."""
    path = entry["wav"]
    wav, rate = sf.read(path)
    if how == "missing":
        os.unlink(path)
    elif how == "empty":
        open(path, "w").close()
    elif how == "truncated":
        with open(path, "r+b") as file:
            file.truncate(2000)
    elif how == "stereo":
        sf.write(path, np.stack([wav, wav], axis=1), rate)
    elif how == "zeros":
        sf.write(path, np.zeros_like(wav), rate)
    elif how == "nan":
        wav[100] = np.nan
        sf.write(path, wav, rate, subtype="FLOAT")


@pytest.mark.parametrize(
    "how", ["missing", "empty", "truncated", "stereo", "zeros", "nan"]
)
def test_broken_audio_is_named_before_training(
    how, mini_folder, tmp_path, monkeypatch
):
    """One file costs its utterance, seven are one sentence with the file."""
    folder = tmp_path / "IEMOCAP_full_release"
    shutil.copytree(mini_folder, folder)
    labelled = read_iemocap(str(folder))
    first, *others = [k for k, e in labelled.items() if e["session"] == 2]
    entry = labelled[first]
    break_audio(entry, how)
    left = read_iemocap(str(folder))
    assert set(labelled) - set(left) == {first}
    assert [row["entry"] for row in left.odd] == [first]
    for key in others[:6]:
        break_audio(labelled[key], how)
    error = run_recipe(
        monkeypatch,
        "hparams/ipr_logmel.yaml",
        *SHORT,
        "--data_folder",
        folder,
        "--output_folder",
        tmp_path / "out",
    )
    assert (
        error.startswith("error: ") and os.path.basename(entry["wav"]) in error
    )
    assert not (tmp_path / "out").exists()


def test_another_rate_is_resampled_and_said(
    ready, tmp_path, monkeypatch, caplog
):
    """44.1 kHz: the run goes on."""
    annotation = read_annotation(str(ready / "train.json"))
    entry = next(iter(annotation.values()))
    wav, _ = sf.read(entry["wav"])
    time_44 = np.arange(int(len(wav) * 44100 / 16000)) / 44100
    sf.write(
        tmp_path / "a.wav",
        np.interp(time_44, np.arange(len(wav)) / 16000, wav),
        44100,
    )
    entry |= {"wav": str(tmp_path / "a.wav")}
    entry.pop("start")
    entry.pop("stop")
    shutil.copytree(ready, tmp_path / "own")
    write_annotation(str(tmp_path / "own" / "train.json"), annotation)
    with caplog.at_level("INFO"):
        error = run_recipe(
            monkeypatch,
            "hparams/ipr_logmel.yaml",
            *SHORT,
            *own(tmp_path / "own"),
            "--debug",
            "--output_folder",
            tmp_path / "out",
        )
    assert error is None
    assert "resampled on loading" in caplog.text


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["--data_folder", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--data_folder", "{tmp}"], "{tmp}"),
        (["--system", "magic"], "--system is 'magic'.*baseline_plus"),
        (
            ["--pseudo_label_filter", "some"],
            "--pseudo_label_filter is 'some'.*agreed",
        ),
        (["--taught", "some"], "taught: it is called --pseudo_label_filter"),
        (["--class_weights", "heavy"], "--class_weights is 'heavy'"),
        (["--model_selection", "luck"], "--model_selection is 'luck'"),
        (["--n_classes", "3"], "n_classes is 3.*4 words"),
        (["--test_size", "5000"], "5000"),
        (["--no_such_setting", "1"], "no_such_setting"),
        (["--labels", "[ang, hap, sad, fea]"], "fea"),
        (["--noise_folder", "{tmp}"], "holds no audio"),
        (["--long_utterances", "drop"], "drop"),
        (["--lr", "1", "--lr", "2"], "duplicate key.*once"),
        (["--valid_share", "0"], "valid part.*--model_selection last"),
    ],
)
def test_bad_settings_are_one_sentence(
    arguments, said, mini_folder, tmp_path, monkeypatch
):
    """Before training, with nothing half written."""
    import re

    arguments = [a.format(tmp=tmp_path) for a in arguments]
    if "--data_folder" not in arguments:
        arguments += ["--data_folder", mini_folder]
    error = run_recipe(
        monkeypatch,
        "hparams/ipr_logmel.yaml",
        *SHORT,
        *arguments,
        "--output_folder",
        tmp_path / "out",
    )
    assert isinstance(error, str) and error.startswith("error: ")
    assert "\n" not in error
    assert re.search(said.format(tmp=tmp_path), error), error
    assert not (tmp_path / "out" / "save").exists()
    assert not (tmp_path / "out" / "curves.csv").exists()


@pytest.mark.parametrize(
    "more, said",
    [
        (["--warmup_epochs", "3"], "--warmup_epochs 3 of --number_of_epochs 3"),
        (["--warmup_updates", "9999"], "--warmup_updates 9999, .* never ends"),
        (["--precise_per_batch", "8"], "no place for D2 in batches of --batch"),
    ],
)
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_what_never_meets_d2_is_one_sentence(
    more, said, debug, ready, tmp_path, monkeypatch
):
    """Before anything is written; a trial is refused too."""
    line = ["hparams/ipr_logmel.yaml", *with_settings(SHORT, more)]
    line += [*own(ready), *debug, "--output_folder", tmp_path / "out"]
    check_sentence(run_recipe(monkeypatch, *line), said)
    assert not (tmp_path / "out").exists()


def test_a_trial_of_a_long_warm_up_reaches_ipr(ready, tmp_path, monkeypatch):
    """--debug stops after two epochs; the second is no warm-up."""
    more = "--warmup_epochs 10 --number_of_epochs 50".split()
    line = ["hparams/ipr_logmel.yaml", *with_settings(SHORT, more)]
    line += [*own(ready), "--debug", "--output_folder", tmp_path / "out"]
    assert run_recipe(monkeypatch, *line) is None
    metrics, curves, _ = results(tmp_path / "out")
    assert metrics["selected_epoch"] == metrics["first_selectable_epoch"] == 2
    assert float(curves[1]["contrastive_loss"]) > 0
    assert not curves[0]["contrastive_loss"]


def test_the_warm_up_of_pieces_is_that_of_pieces(ready):
    """Long utterances that are split make epochs longer, a warm-up shorter."""
    n = len(read_annotation(str(ready / "train.json")))
    settings = {
        f"{part}_annotation": str(ready / f"{part}.json")
        for part in ("train", "unlabelled", "valid", "test")
    } | {
        "skip_prep": True,
        "number_of_epochs": 3,
        "warmup_epochs": 1,
        "warmup_updates": 2 * -(-n // 8) + 1,  # three epochs of three
        "max_duration": 0.9,
    }
    plan = import_script(RECIPE).plan
    path = str(RECIPE.parent / "hparams" / "ipr_logmel.yaml")
    with pytest.raises(InputError, match="are 3 epochs of .* never ends"):
        plan(path, with_overrides("", **settings, long_utterances="cut"))
    plan(path, with_overrides("", **settings, long_utterances="split"))


def test_embedding_size_of_another_encoder_is_refused(
    ready, small_wav2vec2, tmp_path, monkeypatch
):
    """The paper's 768 with a model of 32: both sizes and the mend."""
    error = run_recipe(
        monkeypatch,
        "hparams/ipr.yaml",
        *SHORT,
        *own(ready),
        "--ssl_source",
        small_wav2vec2,
        "--output_folder",
        tmp_path / "out",
    )
    assert "embedding_dim is 768" in error and "--embedding_dim 32" in error
    assert not (tmp_path / "out" / "settings.json").exists()


def test_broken_label_line_is_named_with_its_number(
    mini_folder, tmp_path, monkeypatch
):
    """One is left out; six are one sentence with the file and the line."""
    folder = tmp_path / "IEMOCAP_full_release"
    shutil.copytree(mini_folder, folder)
    paths = sorted(folder.glob("Session*/dialog/EmoEvaluation/Ses*.txt"))
    places = [
        (path, number)
        for path in paths
        for number, line in enumerate(path.read_text().splitlines())
        if "\tSes" in line
    ]
    for count, (path, number) in enumerate(places[:6], 1):
        lines = path.read_text().splitlines()
        lines[number] = lines[number].replace("\t", " ", 2)
        path.write_text("\n".join(lines) + "\n")
        if count == 1:
            (row,) = read_iemocap(str(folder)).odd
            where = str(path), f"line {number + 1}"
            assert (row["file"], row["entry"]) == where
    error = run_recipe(
        monkeypatch,
        "hparams/ipr_logmel.yaml",
        "--data_folder",
        folder,
        "--output_folder",
        tmp_path / "out",
    )
    said = (
        f"'{places[0][0]}', line {places[0][1] + 1}: Utterances whose summary"
    )
    assert said in error and "more than 1 %" in error
    assert not (tmp_path / "out").exists()


def test_finished_run_only_reports(ready, tmp_path, monkeypatch):
    """The same command again, and --test_only: the same files, no training.

    What changes no weight may be asked for later: how much speaker is left.
    """
    arguments = ["hparams/ipr_logmel.yaml", *SHORT, *own(ready)]
    arguments += ["--output_folder", tmp_path / "out"]
    assert run_recipe(monkeypatch, *arguments) is None
    first = results(tmp_path / "out")
    assert run_recipe(monkeypatch, *arguments) is None
    assert results(tmp_path / "out") == first
    extra = ["--test_only", "--speaker_probe", "True"]
    assert run_recipe(monkeypatch, *arguments, *extra) is None
    probed = results(tmp_path / "out")
    found = probed[0].pop("leakage")
    # another report of the same run
    assert probed[0].pop("report") != first[0].pop("report")
    assert probed == first
    trained = [
        entry["speaker"]
        for name in ("train", "unlabelled")
        for entry in read_annotation(str(ready / f"{name}.json")).values()
    ]
    assert found["utterances"] == len(trained)
    assert found["speakers"] == len(set(trained)) == 10
    most = max(map(trained.count, trained))
    assert found["chance"] == pytest.approx(most / len(trained))
    assert 0 <= found["accuracy"] <= 1
    assert len(first[1]) == 3
    mean = first[0]["test_mean_of_last_epochs"]
    assert mean["epochs"] == [3]


def test_folder_of_another_run_is_refused(ready, tmp_path, monkeypatch):
    """The same folder with another learning rate; nothing is lost."""
    arguments = ["hparams/ipr_logmel.yaml", *SHORT, *own(ready)]
    arguments += ["--output_folder", tmp_path / "out"]
    assert run_recipe(monkeypatch, *arguments) is None
    before = results(tmp_path / "out")
    error = run_recipe(monkeypatch, *arguments, "--lr", "0.5")
    assert "lr = 0.001 instead of 0.5" in error
    assert results(tmp_path / "out") == before


def test_exit_code_is_not_zero(tmp_path):
    """For the shell: code 1, the sentence on standard error, no traceback."""
    done = subprocess.run(
        command("hparams/nothing.yaml"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no hparams file")
    assert len(done.stderr.splitlines()) == 1
