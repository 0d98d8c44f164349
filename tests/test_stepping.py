"""Steps that do not wait for the device; several batches that make one."""

import contextlib
import csv
import functools
import re

import pytest
import torch

from conftest import save_ssl_model
from speechbrain_ser.data import batch_copies
from speechbrain_ser.data.dataset import make_dataset
from speechbrain_ser.experiment.declarations import check_options
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.utils import waiting
from speechbrain_ser.utils.errors import InputError
from tests.methods import dann_brain, menan_brain, test_gmp_atl, test_lpmn
from tests.methods.test_ipr import make_brain as make_ipr
from tests.recipes.helpers import ROOT
from tests.test_brain import LABELS, make_brain
from tests.waits import waits_of

# Where LPMN waits: which frames are valid, how often each prototype is chosen,
# how many frames win; and the first of these once more, backwards.
LPMN_WAITS = (
    "speechbrain_ser/lobes/codebook.py",
    "speechbrain_ser/lobes/local_prototypes.py",
    "speechbrain_ser/stepping.py: scaled.backward() (a mask as an index)",
)


@pytest.fixture(scope="module")
def hubert(tmp_path_factory):
    """A tiny HuBERT of the layer-norm kind."""
    folder = tmp_path_factory.mktemp("hubert")
    return save_ssl_model(folder, "hubert", "layer", layers=2)


def halved(augmenter, wavs, lengths):
    """Copies that nothing is drawn for."""
    return wavs * 0.5


# No step waits


@pytest.fixture(autouse=True)
def on_a_gpu(monkeypatch, request):
    """What is computed where a look at numbers costs a wait."""
    if "wait" in request.node.name:
        monkeypatch.setattr(waiting, "AT_ONCE", set())


@pytest.mark.parametrize("system", ["baseline", "baseline_plus", "ipr"])
def test_ipr_does_not_wait(system, tones, tmp_path, monkeypatch):
    """Nor do its pseudo-labels, its contrastive loss and its prototypes."""
    monkeypatch.setattr(batch_copies, "augment_copies", halved)
    keys = list(tones)
    parts = {
        "train": {k: tones[k] for k in keys[:6]},
        "unlabelled": {k: tones[k] for k in keys[6:]},
    }
    brain = make_ipr(tmp_path, system=system)
    brain.warmup_epochs = 1
    brain.set_parts(parts)
    assert waits_of(brain, monkeypatch, epoch=brain.warmup + 1) == []


@pytest.mark.parametrize("norm", ["bn1", "bn4", "none"])
def test_dann_does_not_wait(norm, tmp_path, monkeypatch):
    """Nor do the two turns of bn4 and the figure of the languages."""
    brain = dann_brain.build_brain(tmp_path, batch_norm=norm)
    assert waits_of(brain, monkeypatch) == []


@pytest.mark.parametrize("system", ["menan", "multitask", "dat"])
def test_menan_does_not_wait(system, tmp_path, monkeypatch):
    """In none of the small steps of its speaker classifier, after the first.

    How many embeddings the memory holds is looked up once a process.
    """
    brain = menan_brain.build_brain(tmp_path, system=system)
    brain.memory.held()
    assert waits_of(brain, monkeypatch) == []


def test_the_memory_counts_as_it_is_loaded(tmp_path):
    """After a checkpoint as before it, and when it is full."""
    from speechbrain_ser.lobes.speaker_invariant import EmbeddingMemory

    memory, other = EmbeddingMemory(5, 2), EmbeddingMemory(5, 2)
    for n in (2, 2, 2):
        memory.add(torch.randn(n, 2), torch.arange(n))
        there = memory.speakers >= 0
        assert torch.equal(memory.held()[0], memory.embeddings[there])
        other.held()
        other.load_state_dict(memory.state_dict())
        for mine, theirs in zip(memory.held(), other.held()):
            assert torch.equal(mine, theirs)
    assert len(memory.held()[0]) == 5


def test_gmp_atl_does_not_wait(hubert, tones, tmp_path, monkeypatch):
    """Neither of the stages on utterances."""
    for entry in tones.values():
        entry["gender"] = "F"
    speech = {key: entry for key, entry in list(tones.items())[:4]}
    speech["tone1"]["gender"] = "M"
    for make in (
        functools.partial(
            test_gmp_atl.make_multitask, tmp_path, hubert, speech
        ),
        functools.partial(
            test_gmp_atl.make_fine_tuning,
            *(tmp_path, hubert, speech, "am_softmax"),
        ),
    ):
        brain, _ = make()
        brain.batch_size = 2
        assert waits_of(brain, monkeypatch) == []


@pytest.mark.parametrize("valence", [0.0, 0.5])
def test_lpmn_waits_in_its_prototypes_alone(
    valence, tones, tmp_path, monkeypatch
):
    """Not in its losses, its importance and what it notes."""
    for i, entry in enumerate(tones.values()):
        if i % 3:
            entry["valence"] = 0.1 * i
    brain = test_lpmn.make_lpmn(tmp_path, valence_weight=valence)
    brain.set_parts({"train": tones})
    found = waits_of(brain, monkeypatch)
    assert all(line.startswith(LPMN_WAITS) for line in found), found


@pytest.mark.parametrize("frozen", [0, 1])
def test_an_ssl_encoder_does_not_wait(
    frozen, hubert, tones, tmp_path, monkeypatch
):
    """All kinds of masks are made on the device, of frozen blocks too."""
    brain, _ = make_brain(tmp_path)
    brain.modules["encoder"] = SSLEncoder(
        hubert, save_path="unused", frozen_layers=frozen
    )
    brain.modules["classifier"] = torch.nn.Linear(32, 4)
    brain.set_parts({"train": tones})
    assert waits_of(brain, monkeypatch) == []


def test_the_counter_sees_a_wait(tones, tmp_path, monkeypatch):
    """Of each kind: a number, a mask as an index, a copy to the CPU."""
    brain, _ = make_brain(tmp_path)
    plain = brain.compute_objectives

    def waiting(predictions, batch, stage):
        """Looks at what it computes."""
        float(predictions["logits"].sum())
        predictions["logits"][batch.label > 0].tolist()
        return plain(predictions, batch, stage)

    brain.compute_objectives = waiting
    brain.set_parts({"train": tones})
    # lines of a test belong to the line that called it
    kinds = {line.rpartition("(")[2] for line in waits_of(brain, monkeypatch)}
    assert {"_local_scalar_dense)", "a mask as an index)", "tolist)"} <= kinds


# What is looked at later is the same


@pytest.mark.parametrize("every", [2, 1000])
def test_losses_that_are_looked_at_later(every, tones, tmp_path):
    """The same curves, to the bit, and the same weights."""
    data = make_dataset(tones, LABELS)
    rows, weights = [], []
    for name, settled in (("now", None), ("later", every)):
        brain, counter = make_brain(tmp_path / name)
        brain.settled_every = settled
        brain.fit(counter, data, data)
        kept = [dict(row, seconds=0) for row in brain.history.rows]
        rows.append(kept)
        weights.append(brain.modules["classifier"].weight.detach())
    assert rows[0] == rows[1]
    assert torch.equal(*weights)
    for name in ("now", "later"):
        with open(tmp_path / name / "curves.csv", encoding="utf-8") as file:
            assert len(list(csv.DictReader(file))) == 2


def test_a_loss_that_is_none_is_told_later_as_at_once(
    tones, tmp_path, monkeypatch
):
    """With its own step, and with what broke."""
    data = make_dataset(tones, LABELS)
    said = []
    for name, settled in (("now", None), ("later", 1000)):
        brain, counter = make_brain(tmp_path / name)
        brain.settled_every = settled
        plain = brain.compute_objectives

        def broken(predictions, batch, stage, brain=brain, plain=plain):
            """No number in the second step."""
            loss = plain(predictions, batch, stage)
            return loss * (float("nan") if brain.step == 2 else 1.0)

        brain.compute_objectives = broken
        with pytest.raises(InputError) as error:
            brain.fit(counter, data, data)
        said.append(str(error.value))
    assert said[0] == said[1]
    assert "epoch 1, step 2" in said[0]


# Several batches that make one step


def trained(brain, epochs=2):
    """Trains some epochs without a checkpoint; returns all weights."""
    import speechbrain as sb

    brain.epochs = epochs
    brain.init_optimizers()
    loader = brain.make_dataloader(brain.train_set, sb.Stage.TRAIN)
    for epoch in range(1, epochs + 1):
        brain._fit_train(loader, epoch, enable=False)
    assert brain.optimizer_step > 1
    return {k: v.double() for k, v in brain.modules.state_dict().items()}


def ends_alike(make, size, factor):
    """Trains with one large batch a step, and with parts of it.

    What the log says of it must be what happens.

    Arguments
    ---------
    make : callable
        Of a batch size to a Brain with its parts.
    size : int
        Of the large batch.
    factor : int

    Returns
    -------
    bool
        Whether both end at the same weights.
    """
    large, small = make(size), make(size // factor)
    small.grad_accumulation_factor = factor
    said = small.accumulation_note()
    ends = [trained(large), trained(small)]
    moved = make(size).modules.state_dict()
    far = [
        max(float((end[k] - moved[k]).abs().max()) for k in end) for end in ends
    ]
    assert min(far) > 1e-4
    differ = max(float((ends[0][k] - ends[1][k]).abs().max()) for k in ends[0])
    alike = differ < 1e-3 * max(far)
    assert alike == (said is None), (differ, far)
    return alike


def sgd(brain, rate=0.05):
    """Plain steps, as Adam makes much of a difference in rounding; no dropout."""
    for module in brain.modules.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    brain.opt_class = lambda params, lr=rate: torch.optim.SGD(params, lr=rate)
    return brain


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_accumulated_cross_entropy(factor, weights, tones, tmp_path):
    """A last step of fewer utterances too; class weights are relative."""
    kept = dict(list(tones.items())[: 11 if factor == 2 else 12])
    for key in list(kept)[:5]:
        kept[key]["emotion"] = "ang"

    def make(size):
        """A Brain on eleven tones."""
        brain, _ = make_brain(tmp_path, class_weights=weights)
        brain.batch_size = size
        brain.set_parts({"train": kept})
        return sgd(brain)

    assert ends_alike(make, 8, factor) == (weights == "none")


@pytest.mark.parametrize("system", ["baseline", "baseline_plus", "ipr"])
def test_accumulated_ipr(system, tones, tmp_path, monkeypatch):
    """The baseline is that of the large batch; what learns from D2 is not."""
    monkeypatch.setattr(batch_copies, "augment_copies", halved)
    keys = list(tones)

    def make(size):
        """A Brain with D1 and D2, and prototypes."""
        brain = make_ipr(tmp_path, system=system)
        brain.batch_size = size
        brain.warmup_epochs = 0
        brain.set_parts(
            {
                "train": {k: tones[k] for k in keys[:8]},
                "unlabelled": {k: tones[k] for k in keys[8:]},
            }
        )
        drawn = torch.Generator().manual_seed(0)
        rows = torch.randn(4, 8, generator=drawn)
        bank = brain.modules["prototypes"]
        bank.prototypes.copy_(torch.nn.functional.normalize(rows, dim=1))
        return sgd(brain)

    assert ends_alike(make, 6, 2) == (system == "baseline")


@pytest.mark.parametrize("every", [2, 3])
def test_a_stop_within_a_step_of_several_batches(every, tones, tmp_path):
    """What goes on makes each step with all of its batches, to the bit."""
    data, ends = make_dataset(tones, LABELS), []
    run = {"grad_accumulation_factor": 2, "ckpt_interval_steps": every}
    run |= {"device": "cpu", "noprogressbar": True}
    for stop in (None, 6):
        for goes_on in [False] if stop is None else [False, True]:
            brain, counter = make_brain(
                tmp_path / str(stop),
                epochs=1,
                run_opts=run,
                model_selection="last",
            )
            brain.batch_size = 2
            encoder = brain.modules["encoder"]
            brain.checkpointer.add_recoverable("encoder", encoder)
            plain, first = brain.fit_batch, []

            def fit_batch(batch, brain=brain, plain=plain, first=first):
                """Ends before a step if it is to."""
                first.append(brain.step)
                if brain.step == stop and not goes_on:
                    raise KeyboardInterrupt
                return plain(batch)

            brain.fit_batch = fit_batch
            with contextlib.suppress(KeyboardInterrupt):
                brain.fit(counter, data)
        assert first[0] == (1 if stop is None else 5)
        ends.append(brain.modules.state_dict())
    assert all(ends[0][k].equal(ends[1][k]) for k in ends[0])


@pytest.mark.parametrize("norm, same", [("none", True), ("bn1", False)])
def test_accumulated_dann(norm, same, tmp_path):
    """Without batch norm, whose statistics are of each batch."""

    def make(size):
        """A Brain with no dropout, whose draws are of the batch."""
        brain = dann_brain.build_brain(
            tmp_path,
            batch_norm=norm,
            batch_size=size,
            penalty="l2",
            beta_ramp=True,
        )
        return sgd(brain, 0.01)

    assert ends_alike(make, 10, 2) == same


@pytest.mark.parametrize(
    "system, same",
    [
        ("emotion_only", True),
        ("multitask", True),
        ("dat", True),
        ("menan", False),
    ],
)
def test_accumulated_menan(system, same, tmp_path):
    """All that is one step; SC of menan learns after each batch."""

    def make(size):
        """A Brain of three steps an epoch, or of their halves."""
        brain = menan_brain.build_brain(
            tmp_path, system=system, batch_size=size, ramp=False
        )
        return sgd(brain)

    assert ends_alike(make, 10, 2) == same


@pytest.mark.parametrize("stage", ["multitask", "fine-tuning"])
def test_accumulated_gmp_atl(stage, tones, tmp_path, tmp_path_factory):
    """Stages 1 and 3, of a HuBERT without dropout."""
    import json

    folder = tmp_path_factory.mktemp("still")
    save_ssl_model(folder, "hubert", "layer", layers=1)
    config = json.loads((folder / "config.json").read_text())
    config |= {k: 0.0 for k in config if "dropout" in k}
    (folder / "config.json").write_text(json.dumps(config))
    speech = dict(list(tones.items())[:6])
    for i, entry in enumerate(speech.values()):
        entry["gender"] = "FM"[i % 2]

    def make(size):
        """The Brain of the stage."""
        if stage == "multitask":
            brain, _ = test_gmp_atl.make_multitask(
                tmp_path, str(folder), speech
            )
        else:
            brain, _ = test_gmp_atl.make_fine_tuning(
                tmp_path, str(folder), speech, "am_softmax"
            )
        brain.batch_size = size
        brain.length_grid = 0.1
        return sgd(brain)

    assert ends_alike(make, 4, 2)


@pytest.mark.parametrize("pooling, same", [("max", True), ("lpmn", False)])
def test_accumulated_lpmn(pooling, same, tones, tmp_path):
    """The cross entropy is; Eq. 1 is a mean over frames."""

    def make(size):
        """A Brain of LPMN or of a plain pooling."""
        brain = test_lpmn.make_lpmn(tmp_path, pooling, batch_size=size)
        brain.set_parts({"train": tones})
        return sgd(brain)

    assert ends_alike(make, 4, 2) == same


def test_what_is_not_the_large_batch_is_said(tones, tmp_path, caplog):
    """Once, with its reason; nothing is said without accumulation."""
    brain = make_ipr(tmp_path)
    brain.tell_accumulation()
    assert "accumulation" not in caplog.text
    brain.grad_accumulation_factor = 2
    with caplog.at_level("INFO"):
        brain.tell_accumulation()
    assert "--grad_accumulation_factor 2: not the results" in caplog.text
    assert "Eq. 5" in caplog.text


# Optimizers and precision


def test_every_optimizer_is_fused():
    """One pass over the weights a step, where torch has it: CPUs too."""
    found = 0
    for path in (ROOT / "recipes").glob("*/hparams/*.yaml"):
        text = path.read_text(encoding="utf-8")
        given = re.search(r"^opt_class: (\S+)\n((?: {4}.*\n)+)", text, re.M)
        if given and "Adam" in given[1]:
            assert "fused: True" in given[2], path
            found += 1
    assert found > 20
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.ones(2)
    torch.optim.AdamW([weight], fused=True).step()
    assert (weight < 1).all()


def test_evaluation_in_half_precision(tones, tmp_path):
    """By SpeechBrain's key: near, not equal; the training is what it was."""
    data = make_dataset(tones, LABELS)
    found = []
    for name in ("fp32", "bf16"):
        run_opts = {"device": "cpu", "noprogressbar": True}
        brain, counter = make_brain(
            tmp_path / name, run_opts=run_opts | {"eval_precision": name}
        )
        brain.fit(counter, data, data)
        rows = [p["posterior"] for p in brain.predict(data).values()]
        weight = brain.modules["classifier"].weight.detach()
        found.append((torch.stack(rows), weight))
    (whole, trained), (half, same) = found
    assert torch.equal(trained, same)
    assert half.dtype == torch.float32 and not torch.equal(whole, half)
    torch.testing.assert_close(whole, half, atol=0.02, rtol=0.05)


@pytest.mark.parametrize("name", ["precision", "eval_precision"])
def test_fp16_on_a_cpu_is_one_sentence(name):
    """Before anything is read."""
    with pytest.raises(InputError, match=f"--{name} fp16 needs a GPU"):
        check_options({name: "fp16", "device": "cpu"})
    check_options({name: "bf16", "device": "cpu"})
