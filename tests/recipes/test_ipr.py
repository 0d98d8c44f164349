"""The IPR recipe, run as its users run it."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import soundfile as sf
import torch

from speechbrain_ser.corpora.annotations import (
    read_annotation,
    write_annotation,
)
from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
from speechbrain_ser.experiment.hparams import with_overrides
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.utils.errors import InputError
from tests import processes
from tests.recipes import two_processes
from tests.recipes.helpers import (
    RECIPE,
    ROOT,
    check_sentence,
    environment_of,
    import_script,
    in_second_epoch,
    results,
    run_until,
    same_weights,
    weights,
    words,
)
from tests.recipes.ipr_runs import (
    LOGMEL,
    PARTS,
    SHORT,
    TINY,
    own,
    run,
    write_parts,
)

SYSTEMS = ("baseline", "baseline_plus", "ipr", "supervised")
FIGURES = {
    "confusion.png",
    "curves.png",
    "embedding.png",
    "prototype_similarity.png",
    "pseudo_label_agreement.png",
    "reliability.png",
}


@pytest.fixture(scope="module")
def ready(mini_folder, tmp_path_factory):
    """Annotations of the four parts, 24 utterances at most in each."""
    return write_parts(tmp_path_factory.mktemp("annotations"), mini_folder)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A smaller mini corpus: 58 utterances of ten speakers."""
    folder = tmp_path_factory.mktemp("corpus")
    return mini_iemocap(str(folder), utterances_per_speaker=6)


@pytest.fixture(scope="module")
def permuted(ready, tmp_path_factory):
    """The same annotations, D2's emotions turned."""
    folder = tmp_path_factory.mktemp("permuted") / "own"
    shutil.copytree(ready, folder)
    ambiguous = read_annotation(str(ready / "unlabelled.json"))
    # of each class there is another number then
    turned = {"ang": "sad", "sad": "ang", "neu": "hap", "hap": "neu"}
    for entry in ambiguous.values():
        entry["emotion"] = turned[entry["emotion"]]
        entry["votes"] = [[entry["emotion"]]]
    write_annotation(str(folder / "unlabelled.json"), ambiguous)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A function that trains a system once on annotations; returns the run."""
    base, held = tmp_path_factory.mktemp("trained"), {}

    def train(system, folder):
        """Finds what was trained before."""
        if (system, folder) not in held:
            out = base / str(len(held))
            more = TINY | {"system": system, "output_folder": out}
            assert run(*own(folder), **more) is None
            held[system, folder] = out
        return held[system, folder]

    return train


def test_runs_as_typed(tmp_path, tmp_path_factory):
    """A process of its own, from the root, without --data_folder.

    The level that SpeechBrain's logs set in the environment, which children
    take, is no noise: the first line is ours.
    """
    more = {"number_of_epochs": 2}
    done = subprocess.run(
        [sys.executable, os.path.relpath(RECIPE, ROOT)]
        + words("hparams/ipr.yaml", **SHORT | more)
        + ["--output_folder", str(tmp_path / "out")],
        cwd=ROOT,
        env=environment_of(tmp_path_factory) | {"SB_LOG_LEVEL": "DEBUG"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[0]
    assert "mini corpus" in first and "say nothing about IEMOCAP" in first
    assert "train 1710, unlabelled 3421, test 400" in done.stdout
    for epoch in (1, 2):
        assert done.stdout.count(f"epoch {epoch}/2:") == 1
    assert (tmp_path / "out" / "train_ipr.py").exists()
    metrics, curves, predictions = results(tmp_path / "out")
    assert set(os.listdir(tmp_path / "out" / "figures")) == FIGURES
    assert len(curves) == 2
    assert 0 <= metrics["metrics"]["test"]["UA"] <= 1
    assert metrics["protocol"].startswith("iemocap-ambiguity@1 with ")
    assert metrics["metrics"]["test"]["interval"]["over"] == "speakers"
    assert set(metrics["metrics"]) == set(PARTS)
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


def test_runs_by_torchrun(ready, tmp_path, tmp_path_factory):
    """The recipe's own command, started as SpeechBrain's users start two."""
    out = tmp_path / "out"
    more = TINY | {"number_of_epochs": 1, "warmup_epochs": 0}
    more |= {"distributed_backend": "gloo", "output_folder": out}
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        + ["--nproc_per_node=2", str(RECIPE), *words(LOGMEL, **more)]
        + own(ready),
        env=environment_of(tmp_path_factory),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("epoch 1/1:") == 1
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["processes"] == 2 and len(results(out)[1]) == 1


def metrics_labels(row):
    """The class words of a row of predictions.csv, in order."""
    return [k.removeprefix("posterior_") for k in row if k.startswith("post")]


@pytest.mark.parametrize("system", SYSTEMS)
def test_systems_train_on_what_table_3_says(system, ready, trained):
    """Every system runs; only supervised learns D2's labels."""
    out = trained(system, ready)
    curves = results(out)[1]
    learns = system in ("baseline_plus", "ipr")
    assert ("pseudo_loss" in curves[-1]) == learns
    assert ("contrastive_loss" in curves[-1]) == (system == "ipr")
    assert "prototype_similarity.png" not in os.listdir(out / "figures") or (
        system == "ipr"
    )


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_a_system_gained_over_its_warm_up(system, ready, trained, capsys):
    """Two lines and a picture end the report; nobody else has them."""
    out = trained(system, ready)
    capsys.readouterr()
    assert (
        run(*own(ready), **TINY | {"system": system, "output_folder": out})
        is None
    )
    metrics, curves, _ = results(out)
    said = capsys.readouterr().out.splitlines()
    if system not in ("baseline_plus", "ipr"):
        assert "warmup_end" not in metrics
        return
    noted, last = metrics["warmup_end"], metrics["test_mean_of_last_epochs"]
    assert noted["epoch"] == metrics["warmup_epochs"] == 1
    assert noted["valid"] == pytest.approx(float(curves[0]["valid_UA"]))
    chosen = metrics["metrics"]
    gain = 100 * (chosen["valid"]["UA"] - noted["valid"])
    assert said[-3].startswith("valid UA ") and said[-3].endswith(
        f"({gain:+.1f})"
    )
    gain = 100 * (chosen["test"]["UA"] - noted["test"])
    later = 100 * (last["UA"]["mean"] - noted["test"])
    assert said[-2].startswith("test UA ") and f"({gain:+.1f})" in said[-2]
    assert said[-2].endswith(f"({later:+.1f})")
    assert os.path.isfile(said[-1].removeprefix("the epochs between: "))


@pytest.mark.parametrize("system", ["baseline", "baseline_plus", "ipr"])
def test_hidden_labels_reach_no_weight(system, ready, permuted, trained):
    """Permuted labels of D2: every weight is the same, bit for bit."""
    one, other = trained(system, ready), trained(system, permuted)
    assert one != other and same_weights(one, other)
    # the labels did change: the agreement curve, reporting only, says so
    agreement = [
        [row["model_agreement"] for row in results(folder)[1]]
        for folder in (one, other)
    ]
    assert agreement[0] != agreement[1]


def test_supervised_does_learn_the_labels(ready, permuted, trained):
    """The test above could fail: where labels are used, weights differ."""
    runs = [trained("supervised", folder) for folder in (ready, permuted)]
    assert not same_weights(*runs)


@pytest.mark.parametrize(
    "more, batches",
    [
        ({}, (3, 6)),
        (
            {"warmup_epochs": 0, "precise_per_batch": 3, "center": "domain"},
            (5, 5),
        ),
    ],
    ids=["default", "other batches"],
)
def test_killed_and_started_again_is_as_never_stopped(
    more, batches, ready, trained, tmp_path
):
    """SIGKILL in the middle of an epoch after the warm-up, dropout on."""
    whole, killed = trained("ipr", ready), tmp_path / "killed"
    if more:
        whole = tmp_path / "whole"
        settings = TINY | more | {"output_folder": whole}
        assert run(*own(ready), **settings) is None
    settings = TINY | more | {"output_folder": killed}
    settings |= {"ckpt_interval_minutes": 0, "ckpt_interval_steps": 2}
    line = words(LOGMEL, **settings) + own(ready)
    # before the last step of the second epoch
    place = "speechbrain_ser.methods.ipr:IPRBrain.fit_batch"
    child = processes.run(run_until, place, sum(batches), RECIPE, line)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert "epoch 1/3" in child.stdout and in_second_epoch(killed)
    assert not (killed / "metrics.json").exists()
    assert run(*own(ready), **settings) is None
    assert (killed / "log.txt").read_text().count("epoch 1/3:") == 1
    assert same_weights(whole, killed)
    assert results(whole) == results(killed)


@pytest.mark.parametrize("other_batches", [False, True])
def test_two_processes_are_as_one(other_batches, ready, tmp_path):
    """2 x 4 utterances: the prototypes of 1 x 8, on both sides.

    Also without a warm-up, with so many of D1 a batch and centred embeddings.
    """
    for n, batch in ((1, 8), (2, 4)):
        more = {}
        if other_batches:
            more = {"warmup_epochs": 0, "center": "domain"}
            more |= {"precise_per_batch": 4 // n}
        arguments = str(ready), str(tmp_path / str(n)), batch, json.dumps(more)
        if n == 1:
            two_processes.main(*arguments)
        else:
            processes.run_ranks(two_processes.main, *arguments)
    one = torch.load(tmp_path / "1" / "rank0.pt", weights_only=True)
    two = [
        torch.load(tmp_path / "2" / f"rank{r}.pt", weights_only=True)
        for r in (0, 1)
    ]
    for key, value in one.items():
        assert torch.equal(two[0][key], two[1][key]), key
        torch.testing.assert_close(two[0][key], value, atol=2e-5, rtol=1e-4)
    assert not torch.equal(one["first.prototypes"], one["last.prototypes"])


def test_frozen_blocks_stay_bit_for_bit(ready, small_wav2vec2, tmp_path):
    """Through fit, in the paper's setting with a small model."""
    more = {"ssl_source": small_wav2vec2, "embedding_dim": 32, "lr": 0.001}
    more |= {"frozen_layers": 1, "num_workers": 0}
    more |= {"number_of_epochs": 2, "output_folder": tmp_path / "out"}
    assert run(*own(ready), hparams="hparams/ipr.yaml", **SHORT | more) is None
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


def test_stricter_split_shares_no_speaker(mini_folder, tmp_path):
    """--held_out_session: nobody in D3 is trained on."""
    out = tmp_path / "out"
    more = {"data_folder": mini_folder, "held_out_session": 3}
    assert run(**TINY | more, output_folder=out) is None
    speakers = {
        part: {e["speaker"] for e in read_annotation(str(out / f)).values()}
        for part, f in (("train", "train.json"), ("test", "test.json"))
    }
    assert speakers["test"] == {"Ses03_F", "Ses03_M"}
    assert not speakers["train"] & speakers["test"]
    assert (
        json.loads((out / "metrics.json").read_text())["speakers"] == "held out"
    )


def test_split_utterances_are_evaluated_whole(ready, tmp_path):
    """--long_utterances split: pieces train, predictions are of utterances."""
    out = tmp_path / "out"
    more = {"max_duration": 0.9, "long_utterances": "split"}
    assert run(*own(ready), **TINY | more, output_folder=out) is None
    log = (out / "log.txt").read_text()
    assert "train: " in log and "longer than 0.9 s (split)" in log
    ids = {row.split(",")[0] for row in results(out)[2].splitlines()[1:]}
    expected = {
        key
        for part in PARTS
        for key in read_annotation(str(ready / f"{part}.json"))
    }
    assert ids == expected


@pytest.mark.parametrize(
    "settings",
    [
        {
            "precision": "bf16",
            "class_weights": "balanced",
            "model_selection": "last",
            "pseudo_label_view": "both",
            "pseudo_label_filter": "agreed",
        },
        {"pseudo_label": "soft", "update_rule": "weighted", "debug": True},
    ],
)
def test_switches_run(settings, ready, tmp_path):
    """Together to the end, with finite results."""
    settings = dict(settings)
    words = ["--debug"] if settings.pop("debug", False) else []
    out = tmp_path / "out"
    error = run(*own(ready), *words, **TINY | settings, output_folder=out)
    assert error is None
    metrics, curves, _ = results(out)
    assert np.isfinite(float(curves[-1]["train_loss"]))
    assert len(curves) == (2 if words else 3)
    assert [row["epoch"] for row in curves] == ["1", "2", "3"][: len(curves)]
    if "model_selection" in settings:
        assert metrics["selected_epoch"] == 3
        assert metrics["run_options"] == {"precision": "bf16"}


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
    elif how == "zeros":
        sf.write(path, np.zeros_like(wav), rate)
    elif how == "nan":
        wav[100] = np.nan
        sf.write(path, wav, rate, subtype="FLOAT")


@pytest.mark.parametrize(
    "how", ["missing", "empty", "truncated", "zeros", "nan"]
)
def test_broken_audio_is_named_before_training(how, corpus, tmp_path):
    """One file costs its utterance, seven are one sentence with the file."""
    folder = tmp_path / "IEMOCAP_full_release"
    shutil.copytree(corpus, folder)
    labelled = read_iemocap(str(folder))
    first, *others = [k for k, e in labelled.items() if e["session"] == 2]
    entry = labelled[first]
    break_audio(entry, how)
    left = read_iemocap(str(folder))
    assert set(labelled) - set(left) == {first}
    assert [row["entry"] for row in left.odd] == [first]
    for key in others[:6]:
        break_audio(labelled[key], how)
    out = tmp_path / "out"
    error = run(**TINY, data_folder=folder, output_folder=out)
    check_sentence(error, os.path.basename(entry["wav"]))
    assert not out.exists()


def test_another_rate_is_resampled_and_said(ready, tmp_path, caplog):
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
    line = [*own(tmp_path / "own"), "--debug"]
    with caplog.at_level("INFO"):
        error = run(*line, **TINY, output_folder=tmp_path / "out")
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
def test_bad_settings_are_one_sentence(arguments, said, mini_folder, tmp_path):
    """Before training, with nothing half written."""
    arguments = [a.format(tmp=tmp_path) for a in arguments]
    if "--data_folder" not in arguments:
        arguments += ["--data_folder", mini_folder]
    out = tmp_path / "out"
    error = run(*arguments, **TINY, output_folder=out)
    check_sentence(error, said.format(tmp=tmp_path))
    assert not (out / "save").exists()
    assert not (out / "curves.csv").exists()


@pytest.mark.parametrize(
    "more, said",
    [
        ({"warmup_epochs": 3}, "--warmup_epochs 3 of --number_of_epochs 3"),
        ({"warmup_updates": 9999}, "--warmup_updates 9999, .* never ends"),
        ({"precise_per_batch": 8}, "no place for D2 in batches of --batch"),
    ],
)
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_what_never_meets_d2_is_one_sentence(
    more, said, debug, ready, tmp_path
):
    """Before anything is written; a trial is refused too."""
    out = tmp_path / "out"
    error = run(*own(ready), *debug, **TINY | more, output_folder=out)
    check_sentence(error, said)
    assert not out.exists()


def test_a_trial_of_a_long_warm_up_reaches_ipr(ready, tmp_path):
    """--debug stops after two epochs; the second is no warm-up."""
    more = {"warmup_epochs": 10, "number_of_epochs": 50}
    more |= {"output_folder": tmp_path / "out"}
    assert run(*own(ready), "--debug", **TINY | more) is None
    metrics, curves, _ = results(tmp_path / "out")
    assert metrics["selected_epoch"] == metrics["first_selectable_epoch"] == 2
    assert float(curves[1]["contrastive_loss"]) > 0
    assert not curves[0]["contrastive_loss"]


def test_the_warm_up_of_pieces_is_that_of_pieces(ready):
    """Long utterances that are split make epochs longer, a warm-up shorter."""
    n = len(read_annotation(str(ready / "train.json")))
    settings = {
        f"{part}_annotation": str(ready / f"{part}.json") for part in PARTS
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
    ready, small_wav2vec2, tmp_path
):
    """The paper's 768 with a model of 32: both sizes and the mend."""
    more = {"hparams": "hparams/ipr.yaml", "ssl_source": small_wav2vec2}
    error = run(*own(ready), **SHORT | more, output_folder=tmp_path / "out")
    check_sentence(error, "embedding_dim is 768.*--embedding_dim 32")
    assert not (tmp_path / "out" / "settings.json").exists()


def test_broken_label_line_is_named_with_its_number(corpus, tmp_path):
    """One is left out; six are one sentence with the file and the line."""
    folder = tmp_path / "IEMOCAP_full_release"
    shutil.copytree(corpus, folder)
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
    error = run(data_folder=folder, output_folder=tmp_path / "out")
    said = (
        f"'{places[0][0]}', line {places[0][1] + 1}: Utterances whose summary"
    )
    assert said in error and "more than 1 %" in error
    assert not (tmp_path / "out").exists()


def test_finished_run_only_reports(ready, trained, tmp_path):
    """The same command again, and --test_only: the same files, no training.

    What changes no weight may be asked for later: how much speaker is left.
    """
    out = tmp_path / "out"
    shutil.copytree(trained("ipr", ready), out)
    settings = TINY | {"output_folder": out}
    first, state = results(out), weights(out)
    assert run(*own(ready), **settings) is None
    assert results(out) == first
    more = settings | {"speaker_probe": True}
    assert run(*own(ready), "--test_only", **more) is None
    probed = results(out)
    found = probed[0].pop("leakage")
    # another report of the same run
    assert probed[0].pop("report") != first[0].pop("report")
    assert probed == first
    after = weights(out)
    assert all(torch.equal(state[name], after[name]) for name in state)
    trained_on = [
        entry["speaker"]
        for name in ("train", "unlabelled")
        for entry in read_annotation(str(ready / f"{name}.json")).values()
    ]
    assert found["utterances"] == len(trained_on)
    assert found["speakers"] == len(set(trained_on))
    most = max(map(trained_on.count, trained_on))
    assert found["chance"] == pytest.approx(most / len(trained_on))
    assert 0 <= found["accuracy"] <= 1
    assert len(first[1]) == 3
    mean = first[0]["test_mean_of_last_epochs"]
    assert mean["epochs"] == [3]


def test_folder_of_another_run_is_refused(ready, trained):
    """The same folder with another learning rate; nothing is lost."""
    folder = trained("ipr", ready)
    before = results(folder)
    more = {"lr": 0.5, "output_folder": folder}
    error = run(*own(ready), **TINY | more)
    check_sentence(error, "lr = 0.001 instead of 0.5")
    assert results(folder) == before


def test_exit_code_is_not_zero(tmp_path):
    """For the shell: code 1, the sentence on standard error, no traceback."""
    words = str(RECIPE), "hparams/nothing.yaml"
    child = processes.run(processes.as_script, *words, cwd=tmp_path)
    assert child.returncode == 1
    assert child.stderr.startswith("error: there is no hparams file")
    assert len(child.stderr.splitlines()) == 1
