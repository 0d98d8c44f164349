"""LPMN's recipe with HuBERT: what is trained, kept frames, exactness."""

import json
import math
import shutil
import signal

import pytest

from speechbrain_ser.corpora.annotations import read_annotation
from speechbrain_ser.lobes.ssl import SSLEncoder
from tests import processes
from tests.recipes.helpers import (
    LPMN,
    in_second_epoch,
    own,
    results,
    run_until,
    same_weights,
    table,
    weights,
    words,
)
from tests.recipes.lpmn_runs import (
    HUBERT,
    QUICK,
    hubert_settings,
    posteriors,
    run,
    write_parts,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder for what the tests share."""
    return tmp_path_factory.mktemp("lpmn")


@pytest.fixture(scope="module")
def ready(tmp_path_factory, mini_folder, mini_mer2023_folder):
    """A folder with the annotations of both small mini corpora."""
    folder = tmp_path_factory.mktemp("ready")
    return write_parts(folder, mini_folder, mini_mer2023_folder, every=1)


@pytest.fixture(scope="module")
def small_hubert(tmp_path_factory):
    """The recipe's settings for a tiny HuBERT."""
    return hubert_settings(tmp_path_factory.mktemp("hubert"))


@pytest.fixture(scope="module")
def tuned(base, ready, small_hubert):
    """Finished runs with HuBERT, by what is fine-tuned; dead ones reseeded."""
    settings = QUICK | small_hubert | {"n_prototypes": 64, "reseed_dead": True}
    runs = {}
    for finetune in ("none", "last1", "last2"):
        runs[finetune] = settings | {
            "finetune": finetune,
            "output_folder": base / f"hubert-{finetune}",
        }
        if finetune == "last2":
            runs[finetune] |= {"n_selected": "8", "number_of_epochs": 3}
        else:
            runs[finetune] |= {"number_of_epochs": 1, "pooling": "average"}
        error = run(LPMN, HUBERT, *own(ready / "IEMOCAP"), **runs[finetune])
        assert error is None
    return runs


def source_weights(settings):
    """HuBERT's weights as transformers reads them, without its last block."""
    import transformers

    model = transformers.HubertModel.from_pretrained(settings["ssl_source"])
    return {
        f"encoder.model.{name}": value
        for name, value in model.state_dict().items()
        if not name.startswith("encoder.layers.3.")
    }


@pytest.mark.parametrize("finetune", ["none", "last1", "last2"])
def test_exactly_the_named_blocks_change(finetune, tuned, small_hubert):
    """All else of HuBERT is bit for bit what transformers reads."""
    import transformers

    source = small_hubert["ssl_source"]
    model = transformers.HubertModel.from_pretrained(source)
    before = {
        f"model.{name}": value for name, value in model.state_dict().items()
    }
    held = weights(tuned[finetune]["output_folder"])
    after = {
        name.removeprefix("encoder."): value
        for name, value in held.items()
        if name.startswith("encoder.")
    }
    blocks = {"none": (), "last1": (2,), "last2": (1, 2)}[finetune]
    named = {
        name
        for name in before
        if name.startswith(tuple(f"model.encoder.layers.{i}." for i in blocks))
    }
    # the digest is that of the frozen weights after training
    frozen = SSLEncoder(
        source, "unused", layer=3, frozen_layers=3 - len(blocks)
    )
    digest = bytes(after.pop("prefix_sha256").tolist()).hex()
    assert digest == frozen.prefix_digest()
    assert after.keys() == named
    changed = {name for name in named if not after[name].equal(before[name])}
    # a key's bias changes no softmax; its gradient is rounding or 0
    optional = {name for name in named if name.endswith("k_proj.bias")}
    assert named - optional <= changed


def test_nobody_needs_to_name_a_device(tuned, ready, tmp_path):
    """The cache is filled where SpeechBrain would compute."""
    settings = tuned["none"] | {"output_folder": tmp_path / "out"}
    settings["cache_folder"] = tmp_path / "frames"
    del settings["device"]
    assert run(LPMN, HUBERT, *own(ready / "IEMOCAP"), **settings) is None
    assert (tmp_path / "out" / "metrics.json").exists()


def test_cached_run_is_uncached_run(tuned, ready, small_hubert, tmp_path):
    """Same dropout, same order: weights and metrics within half precision."""
    cached = tuned["last2"]
    settings = cached | {"cache": False, "output_folder": tmp_path / "out"}
    settings["length_grid"] = None  # kept frames have none, and so its batches
    del settings["cache_folder"]
    assert run(LPMN, HUBERT, *own(ready / "IEMOCAP"), **settings) is None
    one, other = weights(cached["output_folder"]), weights(tmp_path / "out")
    assert not same_weights(cached["output_folder"], tmp_path / "out")
    before = source_weights(small_hubert)
    apart = moved = 0.0
    for name, value in one.items():
        difference = (value - other[name]).float().norm()
        if name in before:
            apart += difference**2
            moved += (value - before[name]).norm() ** 2
        else:
            assert difference <= 5e-3 * value.float().norm(), name
    # of 1e-3 after a step; each block's steps see the last ones' difference
    assert (apart / moved) ** 0.5 < 0.04
    curves = [
        results(folder)[1]
        for folder in (cached["output_folder"], tmp_path / "out")
    ]
    for kept, wave in zip(*curves):
        for name in ("train_loss", "valid_loss", "quantization_loss"):
            assert float(kept[name]) == pytest.approx(
                float(wave[name]), rel=1e-2
            )
    same = [
        posteriors(folder, "test")
        for folder in (cached["output_folder"], tmp_path / "out")
    ]
    for key, posterior in same[0].items():
        assert posterior == pytest.approx(same[1][key], abs=5e-3)


def test_killed_and_started_again_is_as_never_stopped(tuned, ready, tmp_path):
    """SIGKILL in the second epoch; frames kept, dropout and reseeding on."""
    whole = tuned["last2"]["output_folder"]
    settings = tuned["last2"] | {
        "output_folder": tmp_path / "killed",
        "cache_folder": tmp_path / "frames",
        "ckpt_interval_minutes": 0,
        "ckpt_interval_steps": 3,
    }
    arguments = own(ready / "IEMOCAP")
    line = words(HUBERT, **settings) + [str(word) for word in arguments]
    batches = math.ceil(len(read_annotation(str(arguments[3]))) / 8)
    # before the fifth step of the second epoch
    place = "speechbrain_ser.methods.lpmn:LPMNBrain.fit_batch"
    child = processes.run(run_until, place, batches + 5, LPMN, line)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert in_second_epoch(tmp_path / "killed")
    assert not (tmp_path / "killed" / "metrics.json").exists()
    assert len(table(tmp_path / "killed" / "curves.csv")) == 1

    assert run(LPMN, HUBERT, *arguments, **settings) is None
    log = (tmp_path / "killed" / "log.txt").read_text()
    assert log.count("epoch 1/3:") == 1
    used = [float(row["used_prototypes"]) for row in results(whole)[1]]
    assert min(used[:-1]) < 64  # some were drawn anew
    assert same_weights(whole, tmp_path / "killed")
    assert results(whole) == results(tmp_path / "killed")
    one, other = whole / "prototypes.csv", tmp_path / "killed/prototypes.csv"
    assert one.read_bytes() == other.read_bytes()


def test_killed_while_filling_is_as_never_stopped(
    tuned, ready, small_hubert, tmp_path
):
    """A third of the frames is there: the rest is computed to the same bits."""
    held = {}  # the fine-tuned run's cache is that of one frozen block
    for path in small_hubert["cache_folder"].iterdir():
        about = json.loads((path / "cache.json").read_text())
        held[about["frozen_blocks"]] = path
    partly = tmp_path / "frames" / held[1].name
    shutil.copytree(held[1], partly)
    names = sorted(path.name for path in partly.glob("*.npy"))
    for name in names[::3] + names[1::3]:
        (partly / name).unlink()
    settings = tuned["last2"] | {
        "output_folder": tmp_path / "out",
        "cache_folder": tmp_path / "frames",
    }
    assert run(LPMN, HUBERT, *own(ready / "IEMOCAP"), **settings) is None
    different = [
        name
        for name in names
        if (partly / name).read_bytes() != (held[1] / name).read_bytes()
    ]
    assert different == []
    assert same_weights(tuned["last2"]["output_folder"], tmp_path / "out")


def test_bfloat16(tuned, ready, tmp_path):
    """Finite losses and importance, a report; not the numbers of float32."""
    settings = tuned["last2"] | {"output_folder": tmp_path / "out"}
    settings |= {"precision": "bf16", "n_selected": None, "number_of_epochs": 1}
    assert run(LPMN, HUBERT, *own(ready / "IEMOCAP"), **settings) is None
    metrics, (row,), _ = results(tmp_path / "out")
    assert metrics["run_options"] == {"precision": "bf16"}
    float32 = results(tuned["last2"]["output_folder"])[1][0]
    for name in ("train_loss", "quantization_loss"):
        assert row[name] != float32[name]
        expected = pytest.approx(float(float32[name]), rel=0.02)
        assert float(row[name]) == expected
    held = weights(tmp_path / "out")
    assert all(value.isfinite().all() for value in held.values())
    assert (held["importance.importance"] > 0).all()
