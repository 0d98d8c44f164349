"""DANN's steps, against Eq. 8 to 10 of the paper, and the course of a training."""

import copy
import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from speechbrain_ser.lobes.conv_attention import ConvAttentionEncoder
from speechbrain_ser.lobes.domain_norm import WAYS
from tests.methods.dann_brain import (
    LABELS,
    MODULES,
    TRAIN,
    array,
    begin,
    build_brain,
    fit,
    labels_of,
    stir,
)
from tests.references import dann as reference

TOGETHER = ["bn1", "bn2", "bn3", "none"]  # one step a batch


@pytest.fixture
def build(tmp_path):
    """A function of settings that builds the Brain and its datasets."""
    return functools.partial(build_brain, tmp_path)


# Eq. 8 to 10


def two_losses(modules, features, labels, n, way):
    """L_e and L_l (None without a half) of modules without a reversal."""
    vectors = modules["encoder"](features)

    def normal(x):
        """By its own mean and variance."""
        if way == "none" or not len(x):
            return x
        centred = x - x.mean(dim=0)
        spread = ((centred**2).mean(dim=0) + 1e-5).sqrt()
        norm = modules["norm"]
        return centred / spread * norm.weight + norm.bias

    source, target, whole = vectors[:n], vectors[n:], normal(vectors)
    emotion = whole[:n] if way == "bn1" else normal(source)
    language = whole
    if way in ("bn3", "bn4"):
        language = torch.cat([normal(source), normal(target)])
    domains = torch.tensor([0] * n + [1] * len(target))
    of_emotion = None
    if n:
        logits = modules["classifier"](emotion)
        of_emotion = F.cross_entropy(logits, torch.tensor(labels))
    logits = modules["language_classifier"](language)
    return of_emotion, F.cross_entropy(logits, domains)


def combined(modules, losses, alpha, beta):
    """The gradients that Eq. 8 to 10 subtract, name to array."""
    names, parameters = zip(
        *(
            (f"{name}.{key}", p)
            for name in MODULES
            for key, p in modules[name].named_parameters()
        )
    )
    slopes = [
        torch.autograd.grad(
            loss, parameters, retain_graph=True, allow_unused=True
        )
        if loss is not None
        else [None] * len(names)
        for loss in losses
    ]
    found = {}
    for name, p, dLe, dLl in zip(names, parameters, *slopes):
        zero = torch.zeros_like(p)
        dLe, dLl = (array(zero if g is None else g) for g in (dLe, dLl))
        group = {"classifier": "emotion", "language_classifier": "language"}
        group = group.get(name.split(".")[0], "encoder")
        theta = dict.fromkeys(reference.GROUPS, np.zeros(p.shape))
        new = reference.updates(
            theta,
            {"encoder": dLe, "emotion": dLe},
            {"encoder": dLl, "language": dLl},
            alpha,
            beta,
            lr=1.0,
        )
        found[name] = -new[group]
    return found


def gradients_of(brain):
    """What the optimizers are about to see, name to array."""
    return {
        f"{name}.{key}": array(
            torch.zeros_like(p) if p.grad is None else p.grad
        )
        for name in MODULES
        for key, p in brain.modules[name].named_parameters()
    }


def check_gradients(found, expected):
    """Of every parameter, within float32."""
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(
            gradient, expected[name], atol=1e-4 * scale + 1e-7, err_msg=name
        )


@pytest.mark.parametrize("way", TOGETHER)
@pytest.mark.parametrize("alpha, beta", [(0.5, 1.0), (0.9, 0.3), (0.2, 2.0)])
def test_gradients_are_equations_8_to_10(build, way, alpha, beta):
    """Two losses without a reversal, each by itself, combined by hand."""
    brain = build(batch_norm=way, alpha=alpha, beta=beta)
    batch = begin(brain)[0]
    stir(brain)
    modules = {name: copy.deepcopy(brain.modules[name]) for name in MODULES}
    losses = two_losses(modules, batch.sig.data, labels_of(batch), 6, way)
    expected = combined(modules, losses, alpha, beta)
    assert all(np.abs(g).max() > 1e-4 for g in expected.values())
    brain.compute_objectives(
        brain.compute_forward(batch, TRAIN), batch, TRAIN
    ).backward()
    check_gradients(gradients_of(brain), expected)


def watch_steps(brain):
    """Keeps gradients and modules of each optimizer step, before it."""
    steps, original = [], brain.optimizers_step

    def step():
        """Stands in for the Brain's."""
        modules = {n: copy.deepcopy(brain.modules[n]) for n in MODULES}
        for module in modules.values():
            module.zero_grad()
        steps.append((gradients_of(brain), modules))
        original()

    brain.optimizers_step = step
    return steps


@pytest.mark.parametrize("alpha, beta", [(0.5, 1.0), (0.9, 0.3), (0.2, 2.0)])
def test_bn4_steps_on_the_source_then_on_the_target(build, alpha, beta):
    """Both losses, then that of the language alone, of the weights by then."""
    brain = build(batch_norm="bn4", alpha=alpha, beta=beta)
    batch = begin(brain)[0]
    stir(brain)
    steps = watch_steps(brain)
    brain.step = 1
    total = brain.fit_batch(batch)
    assert len(steps) == 2 and brain.domain is None
    features, labels = batch.sig.data, labels_of(batch)
    expected = 0
    for (found, modules), held, n in zip(
        steps, (features[:6], features[6:]), (6, 0)
    ):
        losses = two_losses(modules, held, labels, n, "bn4")
        check_gradients(found, combined(modules, losses, alpha, beta))
        if n:
            expected += alpha * losses[0].item()
        expected += (1 - alpha) * losses[1].item()
    assert total.item() == pytest.approx(expected, rel=1e-5)
    emotion = [name for name in steps[1][0] if name.startswith("classifier")]
    assert len(emotion) == 2
    assert all((steps[1][0][name] == 0).all() for name in emotion)
    noted = brain.history.means()
    assert noted["domain_loss"] == pytest.approx(
        (expected - alpha * noted["emotion_loss"]) / (1 - alpha) / 2, rel=1e-4
    )


@pytest.mark.parametrize("way", WAYS)
def test_steps_a_batch(build, way):
    """Two with bn4, if there are two languages; else one."""
    systems = ["dann", "base"] if way in ("bn1", "bn4", "none") else ["dann"]
    for system in systems:
        brain = build(batch_norm=way, system=system)
        steps = watch_steps(brain)
        fit(brain)
        # 20 utterances: four batches, two epochs
        twice = way == "bn4" and system == "dann"
        assert len(steps) == 4 * 2 * (2 if twice else 1)


def test_a_step_is_adams(build):
    """Both optimizers, from the gradients above, clipped each by itself."""
    brain = build(lr=0.01)
    batch = begin(brain)[0]
    assert set(brain.optimizers_dict) == {"rest", "language_classifier"}
    held = {
        name: {
            id(p) for group in optimizer.param_groups for p in group["params"]
        }
        for name, optimizer in brain.optimizers_dict.items()
    }
    own = {id(p) for p in brain.modules.language_classifier.parameters()}
    assert held["language_classifier"] == own
    everything = {id(p) for p in brain.modules.parameters()}
    assert held["rest"] == everything - own
    steps = watch_steps(brain)
    brain.step = 1
    brain.fit_batch(batch)
    gradients, before = steps[0]
    for name in MODULES:
        for key, p in before[name].named_parameters():
            gradient = gradients[f"{name}.{key}"]
            now = dict(brain.modules[name].named_parameters())[key]
            clear = np.abs(gradient) > 1e-4
            moved = array(now - p)[clear]
            # Adam's first step is the rate, against the sign
            np.testing.assert_allclose(
                moved, -0.01 * np.sign(gradient[clear]), rtol=1e-2
            )


# The course of a training


@pytest.mark.parametrize(
    "lr, decay, lowest", [(1e-3, 0.93, 5e-5), (0.01, 0.5, 0.003)]
)
def test_learning_rates_fall_to_the_floor(build, lr, decay, lowest):
    """Of both optimizers, the first epoch with the whole rate."""
    brain = build(lr=lr, lr_decay=decay, lowest_lr=lowest, number_of_epochs=4)
    found, original = [], brain.fit_batch

    def fit_batch(batch):
        """Notes the rates."""
        rates = {
            name: optimizer.param_groups[0]["lr"]
            for name, optimizer in brain.optimizers_dict.items()
        }
        found.append((brain.epoch, rates))
        return original(batch)

    brain.fit_batch = fit_batch
    fit(brain)
    assert [epoch for epoch, _ in found] == sorted([1, 2, 3, 4] * 4)
    for epoch, rates in found:
        expected = reference.learning_rate(epoch, lr, decay, lowest)
        assert rates == {
            "rest": pytest.approx(expected, rel=1e-6),
            "language_classifier": pytest.approx(expected, rel=1e-6),
        }
    begin(brain, epoch=60)
    for optimizer in brain.optimizers_dict.values():
        rate = optimizer.param_groups[0]["lr"]
        assert rate == pytest.approx(lowest, rel=1e-6)


@pytest.mark.parametrize("way", ["bn1", "bn4"])
@pytest.mark.parametrize("ramp", [True, False])
def test_ramp_raises_the_scale_step_by_step(build, ramp, way):
    """From 0 to nearly beta; without it the scale is beta throughout."""
    brain = build(beta=0.7, beta_ramp=ramp, number_of_epochs=3, batch_norm=way)
    found, original = [], brain.compute_forward

    def compute_forward(batch, stage):
        """Notes the scale."""
        if stage == TRAIN:
            found.append(brain.modules.reversal.scale)
        return original(batch, stage)

    brain.compute_forward = compute_forward
    fit(brain)
    each = 2 if way == "bn4" else 1
    expected = [
        reference.reversal_ramp(step / 12, 0.7) if ramp else 0.7
        for step in range(12)
        for _ in range(each)
    ]
    assert found == pytest.approx(expected)
    if ramp:
        assert found[0] == 0 and found[-1] > 0.69


@pytest.fixture
def exact(monkeypatch):
    """An encoder whose sums over a batch do not hang on its size.

    It computes in float64 and rounds: a product of matrices adds the same
    numbers in another order where there are more of them.
    """
    original = ConvAttentionEncoder.forward

    def forward(self, features):
        """Stands in for the encoder's."""
        if features.dtype == torch.float64:
            return original(self, features)
        held = {name: p.double() for name, p in self.named_parameters()}
        given = (features.double(),)
        return torch.func.functional_call(self, held, given).float()

    monkeypatch.setattr(ConvAttentionEncoder, "forward", forward)


AT_0 = {"number_of_epochs": 3, "dropout": 0.5, "lr": 0.01}


def both_at_0(build, way, **settings):
    """What `base` and `dann` with beta 0 end with: pairs by name, and Brains."""
    plain = "none" if way == "none" else "bn1"
    base = build(system="base", batch_norm=plain, **settings)
    expected = fit(base)
    at_0 = build(batch_norm=way, beta=0.0, **settings)
    found = fit(at_0)
    pairs = {
        name: (value, expected[name.replace("source", "whole")])
        for name, value in found.items()
        if "language" not in name
        and "statistics.target" not in name
        and not (way == "bn2" and "statistics.whole" in name)
    }
    wanted = {name for name in expected if "language" not in name}
    assert {name.replace("source", "whole") for name in pairs} == wanted
    return pairs, base, at_0, base.datasets["train"]


@pytest.mark.parametrize("way", ["bn2", "bn3", "none"])
@pytest.mark.parametrize("penalty", ["l1", "l2"])
def test_beta_0_trains_the_encoder_of_base(build, exact, way, penalty):
    """Bit for bit, with dropout: norm and emotion classifier as well."""
    settings = AT_0 | {"penalty": penalty}
    pairs, *brains, data = both_at_0(build, way, **settings)
    for name, (found, expected) in pairs.items():
        assert torch.equal(found, expected), name
    one, other = (brain.predict(data) for brain in brains)
    for key, prediction in one.items():
        assert torch.equal(prediction["posterior"], other[key]["posterior"])
    # the adversary is there and learns, and with beta it would be felt
    start = build(batch_norm=way, beta=0.1, **settings)
    before = start.modules.language_classifier.w.weight.clone()
    now = brains[1].modules.language_classifier.w.weight
    assert not torch.equal(now, before)
    felt = fit(start)
    assert not torch.equal(
        felt["encoder.conv.weight"], pairs["encoder.conv.weight"][0]
    )


@pytest.mark.parametrize("way", ["bn2", "bn3", "none"])
def test_beta_0_is_base_but_for_rounding(build, way):
    """The encoder as it is: far less apart than a step of 0.01 moves."""
    pairs, *_ = both_at_0(build, way, **AT_0)
    for name, (found, expected) in pairs.items():
        torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("way", WAYS)
def test_labels_of_the_target_change_no_weight(build, way):
    """Even where a target comes with labels: bit for bit the same."""

    def told(parts, how):
        """Gives the target its labels back, wrong ones, or all the same."""
        for i, entry in enumerate(parts["target"].values()):
            entry["emotion"] = {
                "inverted": LABELS[i % 3 != 0],
                "one": "high",
                "garbled": LABELS[i * i % 7 > 2],
            }[how]

    settings = {"batch_norm": way, "dropout": 0.5}
    expected = fit(build(**settings))
    for how in ("inverted", "one", "garbled"):
        brain = build(functools.partial(told, how=how), **settings)
        with brain.train_set.output_keys_as(["label"]):
            assert min(row["label"] for row in brain.train_set) == 0
        for name, value in fit(brain).items():
            assert torch.equal(value, expected[name]), name
