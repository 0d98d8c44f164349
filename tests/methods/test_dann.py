"""The DANN's Brain, as its recipe builds it, against Eq. 5 to 10 of the paper."""

import copy
import functools
import os

import numpy as np
import pytest
import soundfile
import speechbrain as sb
import torch
import torch.nn.functional as F

from speechbrain_ser.data.dataset import entries
from speechbrain_ser.evaluation.probing import language_probe
from speechbrain_ser.experiment import recipe
from speechbrain_ser.figures import languages as language_plots
from speechbrain_ser.lobes.conv_attention import ConvAttentionEncoder
from speechbrain_ser.lobes.domain_norm import WAYS
from speechbrain_ser.lobes.features import (
    LogMel,
    Standardisation,
    fixed_length,
)
from speechbrain_ser.methods import dann
from speechbrain_ser.methods.dann import fixed_features
from speechbrain_ser.utils.audio import load_audio
from speechbrain_ser.utils.errors import InputError
from tests.recipes.helpers import ROOT, import_script
from tests.references import dann as reference

DANN = ROOT / "recipes" / "RECOLA" / "train_dann.py"
HPARAMS = str(DANN.parent / "hparams" / "dann.yaml")
LABELS = ["low", "high"]
TRAIN, VALID = sb.Stage.TRAIN, sb.Stage.VALID
# 60 frames: 17 after the convolution, 4 pooled, 5 x 6 = 30 numbers
SMALL = {
    "seed": 3,
    "labels": LABELS,
    "model_selection": "last",
    "n_frames": 60,
    "n_mels": 8,
    "n_filters": 6,
    "pool_size": 4,
    "batch_size": 6,
    "number_of_epochs": 2,
    "watched_epochs": 0,
    "dropout": 0.0,
    "penalty": "none",
    "lowest_lr": 0.0,
}
TOGETHER = ["bn1", "bn2", "bn3", "none"]  # one step a batch
MODULES = ("encoder", "norm", "classifier", "language_classifier")


def corpus(name, n):
    """Utterances without audio, every third of them high."""
    return {
        f"{name}{i:02}": {
            "wav": f"{name}{i}",
            "duration": 1.0,
            "emotion": LABELS[i % 3 == 0],
            "speaker": f"{name}{i % 4}",
        }
        for i in range(n)
    }


def features_of(entry):
    """Random frames, always the same, some padded; the target lies elsewhere."""
    name, number = entry["wav"][0], int(entry["wav"][1:])
    generator = torch.Generator().manual_seed(number + 100 * ord(name))
    frames = torch.randn(20 + 11 * number % 60, 8, generator=generator)
    return fixed_length(frames * 1.5 + 0.7 if name == "t" else frames, 60)


@pytest.fixture
def script(monkeypatch):
    """The recipe, with features that need no audio."""
    script = import_script(DANN)
    monkeypatch.setattr(script, "fixed_features", lambda *args: features_of)
    return script


@functools.lru_cache
def peeked(system):
    """The plain settings, which reading takes long."""
    overrides = recipe.with_overrides("", **(SMALL | {"system": system}))
    return recipe.peek(HPARAMS, overrides)


@pytest.fixture
def build(script, tmp_path):
    """A function of settings that builds the Brain and its datasets."""

    def build(change=None, **settings):
        """With `change`, which gets the parts and may change them."""
        settings = SMALL | {"output_folder": str(tmp_path)} | settings
        languages = {"source": corpus("s", 20), "target": corpus("t", 17)}
        parts, _ = script.split(
            languages, peeked(settings.get("system", "dann"))
        )
        if change:
            change(parts)
        hparams = recipe.load(HPARAMS, recipe.with_overrides("", **settings))
        hparams["checkpointer"] = None
        run_opts = {"device": "cpu", "noprogressbar": True}
        run_opts = sb.core.RunOptions.from_dictionary(run_opts)
        brain, datasets = script.make_brain(hparams, run_opts, parts)
        brain.hparams_ = hparams
        return brain, datasets

    return build


def begin(brain, datasets, epoch=1):
    """Starts an epoch; returns its batches."""
    brain.epochs = brain.hparams_["number_of_epochs"]
    brain.init_optimizers()
    brain.modules.train()
    loader = brain.make_dataloader(datasets["training"], TRAIN)
    brain.train_sampler.set_epoch(epoch)
    brain.on_stage_start(TRAIN, epoch)
    return list(loader)


def fit(brain, datasets):
    """Trains to the end; returns the weights, name to tensor."""
    brain.fit(
        brain.hparams_["epoch_counter"],
        datasets["training"],
        datasets.get("validation"),
    )
    return {
        f"{name}.{key}": value.clone()
        for name in MODULES
        for key, value in brain.hparams_["modules"][name].state_dict().items()
    }


def array(tensor):
    """As NumPy, float64."""
    return tensor.detach().double().numpy()


def labels_of(batch):
    """The classes of a batch's source."""
    index = {
        f"train/{key}": i % 3 == 0 for i, key in enumerate(corpus("s", 20))
    }
    return [int(index[key]) for key in batch.id if key in index]


# The parts


def test_the_paper_is_what_the_hparams_say():
    """Section 2.1, 3.3 and 4.1; what it does not give is marked there."""
    settings = recipe.peek(HPARAMS, "")
    expected = {
        "n_mels": 26,
        "win_length": 25,
        "hop_length": 10,
        "n_frames": 750,
        "n_filters": 200,
        "kernel_size": 10,
        "stride": 3,
        "pool_size": 30,
        "dropout": 0.7,
        "number_of_epochs": 50,
        "batch_size": 32,
        "lr": 1e-3,
        "lr_decay": 0.93,
        "lowest_lr": 5e-5,
        "penalty_weight": 5e-3,
        "dev_share": 0.3,
        "mono_test_share": 0.25,
        "mono_dev_share": 0.05,
        "recola_threshold": 0.0,
        "iemocap_threshold": 2.5,
        "batch_norm": "bn1",
        "development": "target",
        "beta_ramp": False,
    }
    assert {name: settings[name] for name in expected} == expected
    hparams = recipe.load(HPARAMS, recipe.with_overrides("", labels=LABELS))
    assert hparams["opt_class"].func is torch.optim.Adam
    assert hparams["encoder"].dim == 1800
    shapes = {
        name: [tuple(p.shape) for p in hparams[name].parameters()]
        for name in MODULES
    }
    sizes = {name: sorted(each) for name, each in shapes.items()}
    assert sizes == {
        "encoder": [(200,), (200,), (200, 26, 10)],
        "norm": [(1800,), (1800,)],
        "classifier": [(2,), (2, 1800)],
        "language_classifier": [(2,), (2, 1800)],
    }
    assert hparams["modules"]["dropout"].p == 0.7
    assert hparams["modules"]["reversal"].scale == settings["beta"]


def test_what_trains(build):
    """The source with labels, all of the target without, none of it in base."""
    brain, datasets = build()
    held = datasets["training"]
    with held.output_keys_as(["id", "label", "domain"]):
        rows = [tuple(row.values()) for row in held]
    source, target = rows[:20], rows[20:]
    assert [row[0] for row in source] == [f"train/{k}" for k in corpus("s", 20)]
    assert [row[1] for row in source] == [int(i % 3 == 0) for i in range(20)]
    assert {row[2] for row in source} == {0.0}
    assert [row[0] for row in target] == [
        f"target/{key}" for key in corpus("t", 17)
    ]
    assert {row[1:] for row in target} == {(-1, 1.0)}
    assert set(datasets) == {"training", "train", "validation", "evaluation"}
    assert len(datasets["train"]) == 20
    assert len(datasets["validation"]) + len(datasets["evaluation"]) == 17
    _, datasets = build(system="base")
    assert len(datasets["training"]) == 20
    brain, datasets = build(system="mono")
    with datasets["training"].output_keys_as(["id", "domain"]):
        rows = [tuple(row.values()) for row in datasets["training"]]
    assert {row[1] for row in rows} == {0.0}
    assert {row[0][0] for row in rows} == {"t"}
    sampler = begin(brain, datasets) and brain.train_sampler
    assert sampler.n_source == len(rows) and sampler.n_target == 0


def test_settings_reach_the_modules(build):
    """Those that no other test would miss."""
    brain, _ = build(bn_momentum=0.3, dropout=0.25, beta=0.2)
    momenta = {s.momentum for s in brain.norm.statistics.values()}
    assert momenta == {0.3} and brain.modules.dropout.p == 0.25
    assert brain.modules.reversal.scale == 0.2


# Eq. 5 to 7


def by_reference(brain, batch, way):
    """Logits of emotion and language, all from the reference's loops."""
    encoder = brain.modules.encoder
    vectors = [
        reference.encode(
            array(x),
            array(encoder.conv.weight),
            array(encoder.conv.bias),
            array(encoder.attention.query),
            stride=3,
            pool=4,
        )
        for x in batch.sig.data
    ]
    n = len(labels_of(batch))
    gamma, beta = np.ones(30), np.zeros(30)
    if way != "none":
        gamma, beta = array(brain.norm.weight), array(brain.norm.bias)
    emotion, language = reference.normalised(
        way, np.array(vectors[:n]), np.array(vectors[n:]), gamma, beta
    )
    return [
        x @ array(layer.w.weight).T + array(layer.w.bias)
        for x, layer in (
            (emotion, brain.modules.classifier),
            (language, brain.modules.language_classifier),
        )
    ]


def stir(brain):
    """Weights that are not those of the beginning: gain, bias, large ones."""
    torch.manual_seed(9)
    with torch.no_grad():
        for name in MODULES:
            for p in brain.modules[name].parameters():
                p.add_(0.3 * torch.randn_like(p))


@pytest.mark.parametrize("way", TOGETHER)
@pytest.mark.parametrize("alpha, beta", [(0.5, 1.0), (0.9, 0.3), (0.2, 2.0)])
def test_loss_is_equations_5_to_7(build, way, alpha, beta):
    """From features to the sum, by the reference; the reversal is no part."""
    brain, datasets = build(batch_norm=way, alpha=alpha, beta=beta)
    batch = begin(brain, datasets)[1]
    stir(brain)
    predictions = brain.compute_forward(batch, TRAIN)
    logits, languages = by_reference(brain, batch, way)
    np.testing.assert_allclose(
        array(predictions["logits"]), logits, rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(
        array(predictions["languages"]), languages, rtol=1e-3, atol=1e-4
    )
    assert predictions["domains"].tolist() == [0] * 6 + [1] * 6
    loss = brain.compute_objectives(predictions, batch, TRAIN)
    emotion = reference.emotion_loss(logits, labels_of(batch))
    language = reference.language_loss(languages, 6)
    expected = reference.total_loss(alpha, emotion, language)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    noted = brain.history.means()
    assert noted["emotion_loss"] == pytest.approx(emotion, rel=1e-4)
    assert noted["domain_loss"] == pytest.approx(language, rel=1e-4)
    right = languages.argmax(axis=1) == np.array([0] * 6 + [1] * 6)
    recall = (right[:6].mean() + right[6:].mean()) / 2
    assert noted["domain_UA"] == pytest.approx(recall)


@pytest.mark.parametrize("system", ["base", "mono"])
def test_one_language_has_the_emotion_loss_alone(build, system):
    """Weighed by alpha all the same."""
    brain, datasets = build(system=system, alpha=0.3)
    batch = begin(brain, datasets)[0]
    predictions = brain.compute_forward(batch, TRAIN)
    assert "languages" not in predictions
    loss = brain.compute_objectives(predictions, batch, TRAIN)
    labels = [int(label) for label in batch.label]
    assert len(labels) == 6 and min(labels) == 0
    expected = 0.3 * reference.emotion_loss(
        array(predictions["logits"]), labels
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert set(brain.history.means()) == {"emotion_loss"}


def test_class_weights_weigh_the_emotion_alone(build):
    """Seven high and thirteen low of the source; both languages weigh 1."""
    brain, datasets = build(class_weights="balanced", alpha=0.4)
    batch = begin(brain, datasets)[0]
    predictions = brain.compute_forward(batch, TRAIN)
    loss = brain.compute_objectives(predictions, batch, TRAIN)
    weight = [20 / (2 * 13), 20 / (2 * 7)]
    log_p = reference.log_softmax(array(predictions["logits"]))
    labels = labels_of(batch)
    emotion = -sum(weight[y] * log_p[i, y] for i, y in enumerate(labels))
    emotion /= sum(weight[y] for y in labels)
    language = reference.language_loss(array(predictions["languages"]), 6)
    expected = reference.total_loss(0.4, emotion, language)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("penalty", ["l1", "l2", "none"])
@pytest.mark.parametrize("system", ["dann", "base"])
def test_penalty_is_of_the_kernels(build, penalty, system):
    """Convolution and classifiers, no bias, query, gain: loss and gradient."""
    brain, datasets = build(penalty=penalty, penalty_weight=0.02, system=system)
    batch = begin(brain, datasets)[0]
    used = [brain.modules.encoder.conv, brain.modules.classifier.w]
    if system == "dann":
        used.append(brain.modules.language_classifier.w)
    found = []
    for weight in (0.02, 0.0):
        brain.penalty_weight = weight
        brain.modules.zero_grad()
        predictions = brain.compute_forward(batch, TRAIN)
        loss = brain.compute_objectives(predictions, batch, TRAIN)
        loss.backward()
        gradients = {
            name: p.grad.clone()
            for name, p in brain.modules.named_parameters()
            if p.grad is not None
        }
        found.append((loss.item(), gradients))
    (loss, gradients), (plain, without) = found
    kernels = [layer.weight for layer in used]
    total = {"l1": reference.l1, "l2": reference.l2, "none": lambda _: 0}
    expected = 0.02 * total[penalty]([array(w) for w in kernels])
    assert loss - plain == pytest.approx(expected, rel=1e-4, abs=1e-7)
    slope = {"l1": torch.sign, "l2": lambda w: 2 * w, "none": torch.zeros_like}
    of_kernels = {id(w) for w in kernels}
    for name, p in brain.modules.named_parameters():
        if name in gradients:
            more = gradients[name] - without.get(name, 0)
            right = torch.zeros_like(p)
            if id(p) in of_kernels:
                right = 0.02 * slope[penalty](p.detach())
            torch.testing.assert_close(more, right, atol=1e-6, rtol=1e-4)


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
    brain, datasets = build(batch_norm=way, alpha=alpha, beta=beta)
    batch = begin(brain, datasets)[0]
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
    brain, datasets = build(batch_norm="bn4", alpha=alpha, beta=beta)
    batch = begin(brain, datasets)[0]
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
        brain, datasets = build(batch_norm=way, system=system)
        steps = watch_steps(brain)
        fit(brain, datasets)
        # 20 utterances: four batches, two epochs
        twice = way == "bn4" and system == "dann"
        assert len(steps) == 4 * 2 * (2 if twice else 1)


def test_a_step_is_adams(build):
    """Both optimizers, from the gradients above, clipped each by itself."""
    brain, datasets = build(lr=0.01)
    batch = begin(brain, datasets)[0]
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
    brain, datasets = build(
        lr=lr, lr_decay=decay, lowest_lr=lowest, number_of_epochs=4
    )
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
    fit(brain, datasets)
    assert [epoch for epoch, _ in found] == sorted([1, 2, 3, 4] * 4)
    for epoch, rates in found:
        expected = reference.learning_rate(epoch, lr, decay, lowest)
        assert rates == {
            "rest": pytest.approx(expected, rel=1e-6),
            "language_classifier": pytest.approx(expected, rel=1e-6),
        }
    begin(brain, datasets, epoch=60)
    for optimizer in brain.optimizers_dict.values():
        rate = optimizer.param_groups[0]["lr"]
        assert rate == pytest.approx(lowest, rel=1e-6)


@pytest.mark.parametrize("way", ["bn1", "bn4"])
@pytest.mark.parametrize("ramp", [True, False])
def test_ramp_raises_the_scale_step_by_step(build, ramp, way):
    """From 0 to nearly beta; without it the scale is beta throughout."""
    brain, datasets = build(
        beta=0.7, beta_ramp=ramp, number_of_epochs=3, batch_norm=way
    )
    found, original = [], brain.compute_forward

    def compute_forward(batch, stage):
        """Notes the scale."""
        if stage == TRAIN:
            found.append(brain.modules.reversal.scale)
        return original(batch, stage)

    brain.compute_forward = compute_forward
    fit(brain, datasets)
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
    base, datasets = build(system="base", batch_norm=plain, **settings)
    expected = fit(base, datasets)
    at_0, both = build(batch_norm=way, beta=0.0, **settings)
    found = fit(at_0, both)
    pairs = {
        name: (value, expected[name.replace("source", "whole")])
        for name, value in found.items()
        if "language" not in name
        and "statistics.target" not in name
        and not (way == "bn2" and "statistics.whole" in name)
    }
    wanted = {name for name in expected if "language" not in name}
    assert {name.replace("source", "whole") for name in pairs} == wanted
    return pairs, base, at_0, datasets["train"]


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
    start, datasets = build(batch_norm=way, beta=0.1, **settings)
    before = start.modules.language_classifier.w.weight.clone()
    now = brains[1].modules.language_classifier.w.weight
    assert not torch.equal(now, before)
    felt = fit(start, datasets)
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
    expected = fit(*build(**settings))
    for how in ("inverted", "one", "garbled"):
        brain, datasets = build(functools.partial(told, how=how), **settings)
        with datasets["training"].output_keys_as(["label"]):
            assert min(row["label"] for row in datasets["training"]) == 0
        for name, value in fit(brain, datasets).items():
            assert torch.equal(value, expected[name]), name


def test_the_split_hides_the_labels(script):
    """All of the target's speech is there, with nothing but where it is."""
    settings = peeked("dann")
    languages = {"source": corpus("s", 20), "target": corpus("t", 17)}
    parts, protocol = script.split(languages, settings)
    assert protocol == "cross-lingual@1"
    assert set(parts["target"]) == set(languages["target"])
    for key, entry in parts["target"].items():
        kept = {"wav": languages["target"][key]["wav"], "duration": 1.0}
        assert entry == kept | {"domain": 1}
    for part, domain in (("train", 0), ("validation", 1), ("evaluation", 1)):
        assert {e["domain"] for e in parts[part].values()} == {domain}
        assert all(e["emotion"] for e in parts[part].values())


# Dropout


def classified(brain):
    """Keeps what both classifiers are given."""
    held = {"classifier": [], "language_classifier": []}
    for name, given in held.items():
        brain.modules[name].register_forward_pre_hook(
            lambda _, inputs, given=given: given.append(inputs[0].detach())
        )
    return held


@pytest.mark.parametrize("way", WAYS)
def test_both_classifiers_lose_the_same_numbers(build, way):
    """Those that are left are doubled; the target loses others."""
    brain, datasets = build(dropout=0.5, batch_norm=way, lr=1e-9)
    batch = begin(brain, datasets)[0]
    held = classified(brain)
    brain.step = 1
    brain.fit_batch(batch)
    emotion = torch.cat(held["classifier"])
    language = torch.cat(held["language_classifier"])
    assert emotion.shape == (6, 30) and language.shape == (12, 30)
    # without a norm the pooled ones may be 0 as they are
    lost = emotion == 0
    if way != "none":
        assert 0.3 < lost.float().mean() < 0.7
    assert torch.equal(lost, language[:6] == 0)
    assert not torch.equal(language[:6] == 0, language[6:] == 0)
    plain, datasets = build(dropout=0.0, batch_norm=way, lr=1e-9)
    batch = begin(plain, datasets)[0]
    held = classified(plain)
    plain.step = 1
    plain.fit_batch(batch)
    whole = torch.cat(held["classifier"])
    torch.testing.assert_close(emotion, 2 * whole * ~lost, rtol=1e-4, atol=1e-5)
    languages = torch.cat(held["language_classifier"])
    left = language != 0
    torch.testing.assert_close(
        language, 2 * languages * left, rtol=1e-4, atol=1e-5
    )


def test_each_step_and_process_drops_others(build, monkeypatch):
    """By seed, epoch, step and rank, and by nothing that was drawn before."""

    def masks(seed=3, epoch=1, step=1, rank=None, drawn=0):
        """Which numbers of the source are lost."""
        brain, datasets = build(dropout=0.5, seed=seed)
        begin(brain, datasets)
        brain.epoch, brain.step = epoch, step
        monkeypatch.setattr(dann, "get_rank", lambda: rank)
        held = classified(brain)
        # the same utterances, whatever the seed and the epoch are
        data = datasets["training"]
        rows = [data[i] for i in (*range(6), *range(20, 26))]
        batch = sb.dataio.batch.PaddedBatch(rows)
        torch.rand(drawn)
        brain.fit_batch(batch)
        return (held["classifier"][0] == 0).flatten().tolist()

    expected = masks()
    assert masks() == expected == masks(drawn=5) == masks(rank=0)
    others = [
        expected,
        masks(seed=4),
        masks(epoch=2),
        masks(step=2),
        masks(rank=1),
    ]
    assert len(set(map(tuple, others))) == 5


# Evaluation


@pytest.mark.parametrize("way", WAYS)
def test_evaluation_normalises_as_the_emotion_learnt(build, script, way):
    """Each utterance by its own domain, whatever its batch; no dropout."""
    brain, datasets = build(batch_norm=way, dropout=0.5, eval_batch_size=5)
    fit(brain, datasets)
    mixed = {}
    for part in ("train", "evaluation"):
        data = datasets[part]
        mixed |= {key: data.data[key]["entry"] for key in data.data_ids}
    dataset = script.make_dataset(
        mixed, LABELS, read=features_of, numbers=["domain"]
    )
    before = {k: v.clone() for k, v in brain.modules.state_dict().items()}
    predictions = brain.predict(dataset)
    assert set(predictions) == set(mixed)
    with torch.no_grad():
        for key, entry in mixed.items():
            vector = brain.modules.encoder(features_of(entry)[None])
            if way != "none":
                kind = {
                    "bn1": ("whole", "whole"),
                    "bn2": ("source", "source"),
                    "bn3": ("source", "target"),
                    "bn4": ("source", "target"),
                }[way][key[0] == "t"]
                held = brain.norm.statistics[kind]
                vector = (vector - held.mean) / (held.var + 1e-5).sqrt()
                vector = vector * brain.norm.weight + brain.norm.bias
            posterior = brain.modules.classifier(vector).softmax(dim=1)
            torch.testing.assert_close(
                predictions[key]["embedding"], vector[0], atol=1e-4, rtol=1e-4
            )
            torch.testing.assert_close(
                predictions[key]["posterior"],
                posterior[0],
                atol=1e-5,
                rtol=1e-4,
            )
    for key, value in brain.modules.state_dict().items():
        assert torch.equal(value, before[key])


def test_loss_of_a_validation_is_that_of_its_labelled(build, script):
    """Plain cross entropy, neither weighed by alpha nor penalised."""
    brain, datasets = build(penalty="l2", alpha=0.3)
    begin(brain, datasets)
    brain.modules.eval()
    part = datasets["validation"]
    mixed = {key: dict(part.data[key]["entry"]) for key in part.data_ids}
    first, *others = mixed
    mixed[first]["emotion"] = None
    dataset = script.make_dataset(
        mixed, LABELS, read=features_of, numbers=["domain"]
    )
    (batch,) = brain.make_dataloader(dataset, VALID)
    predictions = brain.compute_forward(batch, VALID)
    loss = brain.compute_objectives(predictions, batch, VALID)
    known = [i for i, key in enumerate(batch.id) if key != first]
    expected = reference.emotion_loss(
        array(predictions["logits"])[known],
        [LABELS.index(mixed[batch.id[i]]["emotion"]) for i in known],
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert brain.history.means() == {}


# What is told


def test_domain_loss_and_recall_by_hand(build):
    """Mean of both recalls, also of halves of other sizes; of one alone."""
    brain, _ = build()
    logits = torch.tensor([[2.0, 0], [0, 2], [2, 0], [2, 0], [0, 2]])
    domains = torch.tensor([0, 0, 0, 1, 1])
    brain.watch_languages(logits, domains, torch.tensor(0.25))
    found = brain.history.means()
    assert found == pytest.approx(
        {"domain_loss": 0.25, "domain_UA": (2 / 3 + 1 / 2) / 2}
    )
    # bn4: a step of each, whose mean is the epoch's
    for domain in (0, 1):
        own = domains == domain
        brain.watch_languages(logits[own], domains[own], torch.tensor(1.0))
    found = brain.history.means()
    assert found["domain_UA"] == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_curves_have_the_adversary(build):
    """Each epoch's means, in the rows that Figure 3 is drawn of."""
    brain, datasets = build()
    fit(brain, datasets)
    for row in brain.history.rows:
        assert {"domain_loss", "domain_UA", "emotion_loss", "valid_UA"} <= {
            *row
        }
        total = 0.5 * row["emotion_loss"] + 0.5 * row["domain_loss"]
        # no penalty: the mean loss of the epoch's batches is Eq. 7's
        assert row["train_loss"] == pytest.approx(total, rel=1e-4)
    base, datasets = build(system="base")
    fit(base, datasets)
    assert "domain_UA" not in base.history.rows[0]


@pytest.fixture
def drawn(monkeypatch):
    """What the plots are given."""
    held = {}
    for module, name in (
        (language_plots, "plot_languages"),
        (dann, "plot_adversary"),
    ):
        monkeypatch.setattr(
            module,
            name,
            lambda path, *args, name=name, **kwargs: held.update(
                {name: (path, args, kwargs)}
            ),
        )
    return held


def run_to_the_figures(build, folder, **settings):
    """Trains and draws; returns Brain and predictions."""
    folder.mkdir(exist_ok=True)
    brain, datasets = build(output_folder=str(folder), **settings)
    fit(brain, datasets)
    brain.selected_epoch = 2
    predictions = {
        part: brain.predict(datasets[part]) for part in ("train", "evaluation")
    }
    next(iter(predictions["evaluation"].values()))["entry"]["emotion"] = None
    brain.draw_figures(predictions, "a title")
    return brain, predictions


def test_figure_2_has_the_row_of_base(build, drawn, tmp_path):
    """As base wrote it, above that of dann; unlabelled ones are None again."""
    base, _ = run_to_the_figures(build, tmp_path / "base", system="base")
    _, (rows, *_), _ = drawn.pop("plot_languages")
    assert list(rows) == ["base (bn1)"] and "plot_adversary" not in drawn
    expected = rows["base (bn1)"]
    brain, predictions = run_to_the_figures(
        build,
        tmp_path / "dann",
        base_folder=str(tmp_path / "base"),
        batch_norm="bn2",
    )
    path, (rows, names, labels, title), _ = drawn["plot_languages"]
    assert path == str(tmp_path / "dann" / "figures" / "languages.png")
    assert list(rows) == ["base (bn1)", "dann (bn2)"]
    assert names == ("source", "target") and labels == LABELS
    assert title == "a title"
    for key, value in expected.items():
        if key == "embeddings":
            np.testing.assert_array_equal(rows["base (bn1)"][key], value)
        else:
            assert rows["base (bn1)"][key] == value
    own = rows["dann (bn2)"]
    held = [*predictions["train"].items(), *predictions["evaluation"].items()]
    assert own["language"] == [int(key[0] == "t") for key, _ in held]
    assert own["emotion"] == [p["entry"]["emotion"] for _, p in held]
    assert own["emotion"].count(None) == 1
    vectors = torch.stack([p["embedding"] for _, p in held]).numpy()
    np.testing.assert_array_equal(own["embeddings"], vectors)
    told = language_probe(vectors, np.array(own["language"]))
    assert f"{100 * told:.1f} % UA" in own["note"]
    assert brain.findings() == {"language_probe_UA": told}
    _, (history, title), more = drawn["plot_adversary"]
    assert history == brain.history.rows and title == "a title"
    assert more == {"marks": [(2, "selected")]}


def test_figure_2_without_base(build, drawn, tmp_path):
    """dann alone, and no error; mono has one language, and draws nothing."""
    missing = str(tmp_path / "nothing")
    brain, predictions = run_to_the_figures(
        build, tmp_path / "dann", base_folder=missing
    )
    assert list(drawn.pop("plot_languages")[1][0]) == ["dann (bn1)"]
    assert brain.base_row() == []
    drawn.clear()
    brain.system = "mono"
    brain.draw_figures(predictions, "a title")
    assert not drawn


def test_figure_2_of_a_target_without_labels(build, drawn, tmp_path):
    """All of it is reported and shown, in no class; the probe may have none."""

    def hide(parts):
        """As if the source chose the epoch and nothing tested."""
        chosen = sorted(parts["train"])[:4]
        parts["validation"] = {k: parts["train"].pop(k) for k in chosen}
        parts["evaluation"] = {}

    brain, datasets = build(hide, batch_norm="bn3")
    assert set(datasets) == {"training", "train", "validation", "target"}
    assert "target" not in build()[1]

    def hide_some(parts):
        """Three of those that would test have no label."""
        for key in list(parts["evaluation"])[:3]:
            hidden.append(parts["evaluation"].pop(key)["wav"])

    hidden = []
    _, some = build(hide_some)
    assert hidden == [e["wav"] for e in entries(some["target"])]
    fit(brain, datasets)
    brain.selected_epoch = 2
    predictions = {
        part: brain.predict(datasets[part]) for part in ("train", "target")
    }
    brain.draw_figures(predictions, "a title")
    row = drawn["plot_languages"][1][0]["dann (bn3)"]
    assert row["language"] == [0] * 16 + [1] * 17
    assert row["emotion"][16:] == [None] * 17
    assert None not in row["emotion"][:16]
    assert brain.language_left is not None
    one = dict(list(predictions["target"].items())[:1])
    row = brain.figure_2_row({"train": predictions["train"], "target": one})
    assert str(row["note"]) == "" and brain.findings() == {
        "language_probe_UA": None
    }


def damage(whole, how):
    """Bytes that are no file of arrays any more."""
    return {
        "empty": b"",
        "text": b"these are no arrays",
        "cut": whole[: len(whole) // 2],
        "one byte short": whole[:-1],
        "npy": b"\x93NUMPY" + whole[:50],
    }[how]


@pytest.mark.parametrize(
    "how",
    ["empty", "text", "cut", "one byte short", "npy", "pickle", "foreign"],
)
def test_unreadable_rows_are_refused(build, tmp_path, how):
    """In a sentence that names the file."""
    path = tmp_path / "languages.npz"
    if how == "pickle":
        np.savez(path, embeddings=np.array([{}], dtype=object))
    else:
        np.savez(path, embeddings=np.zeros((3, 2)))
        if how != "foreign":
            path.write_bytes(damage(path.read_bytes(), how))
    brain, _ = build(base_folder=str(tmp_path))
    with pytest.raises(
        InputError, match=f"{path} can't be read.*--system base"
    ):
        brain.base_row()


# Features


@pytest.fixture
def spoken(tones):
    """Parts of two languages, of six tones each; one of them twice."""
    entries = [dict(entry) for entry in tones.values()]
    for i, entry in enumerate(entries):
        entry["domain"] = i % 2
    source, target = entries[::2], entries[1::2]
    hidden = [
        {k: e[k] for k in ("wav", "start", "stop", "duration", "domain")}
        for e in target
    ]

    def named(held):
        """The same ids in both languages."""
        return {str(i): entry for i, entry in enumerate(held)}

    target = named(target)
    return {
        "train": named(source),
        "validation": {key: target.pop(key) for key in "03"},
        "evaluation": target,
        "target": named(hidden),
    }


def test_features_are_standardised_by_their_own_corpus(spoken, tmp_path):
    """Each utterance once, all of its frames; then brought to one length."""
    features = LogMel(n_mels=8)
    standardisations = [Standardisation(8), Standardisation(8)]
    given = (spoken, features, standardisations, str(tmp_path / "cache"), 70)
    read = fixed_features(*given, device="cpu")
    for domain, parts in ((0, ["train"]), (1, ["target"])):
        entries = [e for part in parts for e in spoken[part].values()]
        frames = [
            features(load_audio(entry)[None], torch.ones(1))[0][0]
            for entry in entries
        ]
        assert {len(f) < 70 for f in frames} == {True, False}
        for entry, expected in zip(
            entries, reference.standardise([array(f) for f in frames])
        ):
            found = read(entry)
            assert found.shape == (70, 8) and found.dtype == torch.float32
            np.testing.assert_allclose(
                found.numpy(),
                reference.fixed_length(expected, 70),
                atol=1e-4,
            )
        whole = torch.cat(frames).double()
        torch.testing.assert_close(
            standardisations[domain].mean.double(), whole.mean(dim=0)
        )
        torch.testing.assert_close(
            standardisations[domain].std.double(), whole.std(0, correction=0)
        )
    # with or without its label, an utterance has the same features
    for part in ("validation", "evaluation"):
        for key, entry in spoken[part].items():
            assert torch.equal(read(entry), read(spoken["target"][key]))


def test_features_are_computed_once(spoken, tmp_path, monkeypatch):
    """A second run reads them, of any length and standardisation."""
    features = LogMel(n_mels=8)
    cache = str(tmp_path / "cache")

    def run(**parts):
        """Reads everything."""
        standardisations = [Standardisation(8), Standardisation(8)]
        given = (parts, features, standardisations, cache, 40)
        return fixed_features(*given, device="cpu")

    read = run(**spoken)
    (folder,) = os.listdir(cache)
    names = [n for n in os.listdir(tmp_path / "cache" / folder) if "npy" in n]
    assert len(names) == 12
    kinds = {np.load(tmp_path / "cache" / folder / n).dtype for n in names}
    assert kinds == {np.dtype("float32")}
    monkeypatch.setattr(LogMel, "forward", None)
    again = run(**spoken)
    for entry in spoken["train"].values():
        assert torch.equal(read(entry), again(entry))
    # one language alone, as mono has it
    alone = run(train=spoken["train"])
    entry = next(iter(spoken["train"].values()))
    assert torch.equal(alone(entry), read(entry))
    with pytest.raises(KeyError):
        alone(next(iter(spoken["target"].values())))


def test_segments_of_one_recording_are_told_apart(tmp_path):
    """Start and stop count, as RECOLA has them."""
    path = str(tmp_path / "recording.wav")
    soundfile.write(path, np.random.default_rng(1).normal(0, 0.1, 8000), 16000)
    part = {}
    for i, (start, stop) in enumerate([(0, 4000), (4000, 8000), (0, 8000)]):
        part[str(i)] = {
            "wav": path,
            "start": start,
            "stop": stop,
            "duration": (stop - start) / 16000,
            "domain": 0,
        }
    given = ({"train": part}, LogMel(n_mels=8))
    cache = str(tmp_path / "cache")
    stand = [Standardisation(8), Standardisation(8)]
    read = fixed_features(*given, stand, cache, 60, device="cpu")
    held = [read(entry) for entry in part.values()]
    for i in range(3):
        assert not torch.equal(held[i], held[i - 1])
    # frames whose windows lie before the end of the first
    torch.testing.assert_close(held[0][:24], held[2][:24])


# The probe


def blobs(n, m, distance, seed=0, dim=5):
    """Two languages, so far apart in the first dimension."""
    draw = np.random.default_rng(seed)
    embeddings = draw.normal(size=(n + m, dim))
    embeddings[n:, 0] += distance
    order = draw.permutation(n + m)
    return embeddings[order], np.array([0] * n + [1] * m)[order]


def test_probe_tells_what_can_be_told():
    """All of it, none, and in between what a half-way plane tells."""
    assert language_probe(*blobs(200, 200, 20)) == 1
    # each half is told by a probe of the other, so chance is chance
    assert language_probe(*blobs(500, 500, 0)) == pytest.approx(0.5, abs=0.05)
    # Phi(1), the best that there is
    told = language_probe(*blobs(1000, 1000, 2))
    assert told == pytest.approx(0.841, abs=0.02)
    # whatever the dimensions are measured in
    embeddings, languages = blobs(200, 200, 20)
    assert language_probe(embeddings * [1e-4, 9, 1, 1e4, 1], languages) == 1


def test_probe_does_not_learn_by_heart():
    """More numbers than utterances, and nothing in them."""
    told = language_probe(*blobs(60, 60, 0, dim=400))
    assert 0.3 < told < 0.7


def test_probe_of_unequal_sizes():
    """UA: both languages count the same, so saying one always is chance."""
    assert language_probe(*blobs(300, 30, 20)) == 1
    assert language_probe(*blobs(30, 300, 20)) == 1
    # of a probe that goes by numbers alone it is 0.5, though half can be told
    for sizes in ((1000, 100), (100, 1000)):
        told = language_probe(*blobs(*sizes, 2))
        assert told == pytest.approx(0.841, abs=0.04)


def test_probe_counts_by_language():
    """All of a few, half of many: three quarters, not 55 of a hundred."""
    draw = np.random.default_rng(0)
    embeddings = 0.01 * draw.normal(size=(1000, 2))
    embeddings[550:, 0] += 20
    languages = np.array([0] * 100 + [1] * 900)
    told = language_probe(embeddings, languages)
    assert told == pytest.approx(0.75, abs=0.02)


def test_probe_draws_no_more_than_so_many():
    """Of each language; the same ones in every run, others by another seed."""
    embeddings, languages = blobs(300, 200, 1.5)
    told = language_probe(embeddings, languages, size=50)
    assert told == language_probe(embeddings, languages, size=50)
    assert told * 100 == pytest.approx(round(told * 100))
    others = {
        language_probe(embeddings, languages, size=50, seed=seed)
        for seed in range(6)
    }
    assert len(others) > 1
    assert language_probe(embeddings, languages, size=300) == language_probe(
        embeddings, languages
    )


def test_probe_needs_two_of_each():
    """None, and no error, if there are fewer."""
    embeddings, languages = blobs(5, 1, 3)
    assert language_probe(embeddings, languages) is None
    assert language_probe(*blobs(5, 2, 30)) is not None
