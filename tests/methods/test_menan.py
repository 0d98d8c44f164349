"""MEnAN's Brain, as its recipe builds it, against Eq. 1 to 5 of the paper."""

import collections
import copy
import math
import os
import shutil

import numpy as np
import pytest
import soundfile
import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch

from speechbrain_ser.data.dataset import entries
from speechbrain_ser.evaluation.metrics import SHARES
from speechbrain_ser.experiment import recipe
from speechbrain_ser.figures import speakers as speaker_plots
from speechbrain_ser.lobes.features import LogMelPitchEnergy, Standardisation
from speechbrain_ser.methods import menan
from speechbrain_ser.methods.menan import SYSTEMS, framed_features
from speechbrain_ser.utils.audio import load_audio, with_speeds
from speechbrain_ser.utils.errors import InputError
from tests.recipes.helpers import MENAN, import_script
from tests.references import menan as reference

HPARAMS = str(MENAN.parent / "hparams" / "menan.yaml")
LABELS = ["ang", "hap", "neu", "sad"]
TRAIN, VALID = sb.Stage.TRAIN, sb.Stage.VALID
MODULES = ("encoder", "classifier", "speaker_classifier")
# 40 frames of 8 numbers: 16 after the first convolution, 6 after the second
SMALL = {
    "seed": 3,
    "system": "menan",
    "n_speakers": 5,
    "n_mels": 5,
    "duration": 0.39,
    "channels": 4,
    "hidden_sizes": [6, 5],
    "batch_size": 6,
    "eval_batch_size": 7,
    "number_of_epochs": 2,
    "watched_epochs": 0,
    "model_selection": "last",
    "compared_folder": None,
    "speeds": [],
    "emotion_weight": 0.9,
    "lr_speaker": 0.003,
    "speaker_steps": 3,
    "speaker_memory": 10,
    "speaker_batch_size": 8,
    "speaker_noise": 0.5,
}
# as the paper is printed
PRINTED = {
    "speaker_steps": 1,
    "speaker_memory": 0,
    "standardise": False,
    "speaker_noise": 0,
    "ramp": False,
    "emotion_weight": 0.5,
    "lr_speaker": 0.001,
}


def corpus(speakers, n):
    """Utterances without audio, of speakers and emotions in turn."""
    return {
        f"{speakers[0]}{i:02}": {
            "wav": f"{ord(speakers[0]) * 100 + i}",
            "duration": 1.0,
            "emotion": LABELS[(i // 2 + i) % 4],
            "speaker": speakers[i % len(speakers)],
        }
        for i in range(n)
    }


TRAINING = corpus("ABCDE", 20)


def features_of(entry, n_frames=40, dim=8):
    """Random frames, always the same."""
    generator = torch.Generator().manual_seed(int(entry["wav"]))
    return torch.randn(n_frames, dim, generator=generator)


@pytest.fixture
def script(monkeypatch):
    """The recipe, with features that need no audio."""
    script = import_script(MENAN)
    monkeypatch.setattr(script, "framed_features", lambda *args: features_of)
    return script


@pytest.fixture
def build(script, tmp_path):
    """A function of settings that builds the Brain and its datasets."""

    def build(run_opts=None, **settings):
        """With `run_opts` besides those that every test has."""
        settings = SMALL | {"output_folder": str(tmp_path)} | settings
        parts = {
            "train": TRAINING,
            "validation": corpus("V", 7),
            "evaluation": corpus("T", 9),
        }
        hparams = recipe.load(HPARAMS, recipe.with_overrides("", **settings))
        hparams["checkpointer"] = None
        run_opts = {"device": "cpu", "noprogressbar": True} | (run_opts or {})
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
    brain.step = 1
    return list(loader)


def fit(brain, datasets):
    """Trains to the end; returns the weights, name to tensor."""
    brain.fit(
        brain.hparams_["epoch_counter"],
        datasets["training"],
        datasets["validation"],
    )
    return state(brain)


def state(brain):
    """Copies all weights, name to tensor."""
    return {
        f"{name}.{key}": value.clone()
        for name in MODULES
        for key, value in brain.modules[name].state_dict().items()
    }


def changed(before, after):
    """The modules of which a number differs, and those of which all do."""
    moved = {
        name: not torch.equal(value, after[name])
        for name, value in before.items()
    }
    some = {name.split(".")[0] for name, own in moved.items() if own}
    whole = some - {name.split(".")[0] for name in before if not moved[name]}
    return some, whole


def array(tensor):
    """As NumPy, float64."""
    return tensor.detach().double().numpy()


def true_classes(batch):
    """Emotions and speakers of a batch, from the annotation."""
    held = [TRAINING[key] for key in batch.id]
    return (
        [LABELS.index(entry["emotion"]) for entry in held],
        ["ABCDE".index(entry["speaker"]) for entry in held],
    )


def stir(brain):
    """Weights that are far from those of the beginning."""
    torch.manual_seed(9)
    with torch.no_grad():
        for name in MODULES:
            for p in brain.modules[name].parameters():
                p.add_(0.3 * torch.randn_like(p))


def doubled(brain):
    """Copies of the modules in float64."""
    return {n: copy.deepcopy(brain.modules[n]).double() for n in MODULES}


def watch_steps(brain):
    """Keeps gradients and weights of each optimizer step, before and after."""
    steps, original = [], brain.optimizers_step

    def step():
        """Stands in for the Brain's."""
        gradients = {
            f"{name}.{key}": None if p.grad is None else array(p.grad)
            for name in MODULES
            for key, p in brain.modules[name].named_parameters()
        }
        before = state(brain)
        modules = doubled(brain)
        for module in modules.values():
            module.zero_grad()
        original()
        steps.append((gradients, modules, before, state(brain)))

    brain.optimizers_step = step
    return steps


def own_gradients(modules, loss):
    """The gradients of a loss of `doubled` modules, name to array."""
    names, parameters = zip(
        *(
            (f"{name}.{key}", p)
            for name in MODULES
            for key, p in modules[name].named_parameters()
        )
    )
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {
        name: None if gradient is None else array(gradient)
        for name, gradient in zip(names, found)
    }


def check_gradients(found, expected, modules):
    """Of every parameter of some modules, within float32; of others none."""
    for name, gradient in found.items():
        if name.split(".")[0] not in modules:
            assert gradient is None or not gradient.any(), name
            continue
        scale = np.abs(expected[name]).max()
        assert scale > 0, name
        np.testing.assert_allclose(
            gradient, expected[name], atol=1e-4 * scale + 1e-7, err_msg=name
        )


def log_p(logits):
    """Logarithms of the softmax, the long way."""
    exponents = (logits - logits.amax(dim=1, keepdim=True)).exp()
    return (exponents / exponents.sum(dim=1, keepdim=True)).log()


def nll(logits, classes):
    """Eq. 1 and 4, their mean."""
    return -log_p(logits)[range(len(classes)), list(classes)].mean()


def mean_entropy(logits):
    """Eq. 2, its mean."""
    return -(log_p(logits).exp() * log_p(logits)).sum(dim=1).mean()


def encoded(encoder, features):
    """ENC in float64, with pooling by hand: ours computes in float32."""
    frames = features.double().transpose(1, 2)
    for conv, activation in zip(encoder.convs, encoder.activations):
        frames = activation(conv(frames))
    frames = encoder.gru(frames.transpose(1, 2))[0]
    frames = encoder.activation(encoder.linear(frames))
    mean = frames.mean(dim=1, keepdim=True)
    spread = ((frames - mean) ** 2).mean(dim=1) + 1e-5
    pooled = [mean.squeeze(1), spread.sqrt(), frames.max(dim=1).values]
    return torch.cat(pooled, dim=1)


def normal(embeddings):
    """Zero mean and unit variance, by float64 sums."""
    rows = embeddings.double()
    mean = sum(rows) / len(rows)
    variance = sum((row - mean) ** 2 for row in rows) / len(rows)
    return ((rows - mean) / (variance + 1e-5).sqrt()).to(embeddings.dtype)


# The parts


def test_the_paper_is_what_the_hparams_say():
    """Table 1 and sections 4 and 5; what the paper lacks is marked there."""
    settings = recipe.peek(HPARAMS, "")
    expected = {
        "labels": LABELS,
        "merge_excited": True,
        "improvised_only": False,
        "speeds": [0.8, 0.9, 1.1, 1.2],
        "duration": 14.0,
        "n_mels": 40,
        "win_length": 40,
        "hop_length": 10,
        "number_of_epochs": 300,
        "batch_size": 16,
        "lr": 1e-3,
        "emotion_weight": 0.5,
        "class_weights": "none",
    }
    assert {name: settings[name] for name in expected} == expected
    loaded = {"emotion_weight": 0.5, "lr_speaker": 1e-3, "n_speakers": 8}
    hparams = recipe.load(HPARAMS, recipe.with_overrides("", **loaded))
    assert hparams["opt_class"].func is torch.optim.Adam
    assert hparams["features"].dim == 43 and hparams["encoder"].dim == 96
    counted = {
        name.replace("emotion_", ""): count
        for name, count in reference.table_1_parameters().items()
    }
    for name in MODULES:
        held = sum(p.numel() for p in hparams[name].parameters())
        assert held == counted[name]
    saved = set(hparams["checkpointer"].recoverables)
    assert saved >= {*MODULES, "memory", "standardisation", "counter"}


def test_the_small_hparams_differ_where_they_say_so():
    """And in nothing else, apart from the folders' names."""
    small = HPARAMS.replace("menan.yaml", "menan_small.yaml")
    one, other = recipe.peek(HPARAMS, ""), recipe.peek(small, "")
    assert one.keys() == other.keys()
    differ = {name for name in one if one[name] != other[name]}
    differ -= {"output_folder", "save_folder", "compared_folder"}
    differ -= {"mini_hparams"} | {n for n in differ if "_annotation" in n}
    with open(small, encoding="utf-8") as file:
        marked = {line.split(":")[0] for line in file if "# differs" in line}
    expected = {"speeds", "duration", "number_of_epochs", "emotion_weight"}
    assert differ == marked == expected


def test_what_trains(build):
    """Copies train too, with speaker and label of their utterance."""
    brain, datasets = build(speeds=[0.8, 1.25])
    with datasets["training"].output_keys_as(["id", "label", "speaker"]):
        rows = {row["id"]: row for row in datasets["training"]}
    assert len(rows) == 60
    for key, entry in TRAINING.items():
        for name in (key, f"{key}-speed0.8", f"{key}-speed1.25"):
            row = rows[name]
            assert row["label"] == LABELS.index(entry["emotion"])
            assert row["speaker"] == "ABCDE".index(entry["speaker"])
    assert set(datasets) == {"training", "train", "validation", "evaluation"}
    assert list(datasets["train"].data_ids) == list(TRAINING)
    for name, size in (("validation", 7), ("evaluation", 9)):
        with datasets[name].output_keys_as(["id", "speaker"]):
            held = [tuple(row.values()) for row in datasets[name]]
        assert len(held) == size
        assert all(i == -1 and "speed" not in key for key, i in held)
    assert len(begin(brain, datasets)) == 10


def test_settings_reach_their_places(build):
    """Those that no other test would miss."""
    brain, _ = build(reversal_scale=0.3, speaker_memory=17, lr_power=2.0)
    assert brain.modules.reversal.scale == pytest.approx(0.3)
    assert brain.memory.embeddings.shape == (17, 12) and brain.power == 2.0
    with pytest.raises(InputError, match="'sad'.*hap, neu, joy"):
        build(labels=["ang", "hap", "neu", "joy"])


# Eq. 1 to 5


def encoder_weights(encoder):
    """The names of the reference for the encoder's weights."""
    first, second = encoder.convs
    gru, held = encoder.gru, {}
    held |= {"conv1_weight": first.weight, "conv1_bias": first.bias}
    held |= {"conv2_weight": second.weight, "conv2_bias": second.bias}
    held |= {"prelu1": encoder.activations[0].weight}
    held |= {"prelu2": encoder.activations[1].weight}
    held |= {"prelu3": encoder.activation.weight}
    held |= {"gru_w_ih": gru.weight_ih_l0, "gru_w_hh": gru.weight_hh_l0}
    held |= {"gru_b_ih": gru.bias_ih_l0, "gru_b_hh": gru.bias_hh_l0}
    held |= {"linear_weight": encoder.linear.weight}
    held |= {"linear_bias": encoder.linear.bias}
    return {name: array(value) for name, value in held.items()}


def classified(vectors, classifier):
    """The reference's logits of a classifier."""
    names = ("w1", "b1", "a1", "w2", "b2", "a2", "w3", "b3")
    weights = dict(zip(names, map(array, classifier.parameters())))
    return [reference.classify(vector, weights) for vector in vectors]


@pytest.mark.parametrize("lam", [0.5, 0.2])
def test_losses_are_equations_1_to_5(build, script, monkeypatch, lam):
    """From features to the sum, by the reference, in the paper's sizes."""
    monkeypatch.setattr(
        script,
        "framed_features",
        lambda *args: lambda entry: features_of(entry, 24, 43),
    )
    paper = {"n_mels": 40, "channels": 32, "hidden_sizes": [32, 10]}
    paper |= PRINTED | {"emotion_weight": lam, "batch_size": 4}
    brain, datasets = build(**paper)
    batch = begin(brain, datasets)[0]
    stir(brain)
    emotions, speakers = true_classes(batch)
    weights = encoder_weights(brain.modules.encoder)
    # so much StatisticsPooling adds to the variance
    vectors = [
        reference.encode(array(x), weights, epsilon=1e-5)
        for x in batch.sig.data
    ]
    emotion_logits = classified(vectors, brain.modules.classifier)
    before = classified(vectors, brain.modules.speaker_classifier)
    steps = watch_steps(brain)
    loss = brain.fit_batch(batch)
    # step 2 is against SC as step 1 left it
    after = classified(vectors, steps[1][1]["speaker_classifier"])
    noted = brain.history.means()
    equation_1 = reference.speaker_loss(before, speakers)
    equation_4 = reference.emotion_loss(emotion_logits, emotions)
    equation_5 = reference.objective(emotion_logits, emotions, after, lam)
    assert noted["speaker_loss"] == pytest.approx(equation_1, rel=1e-4)
    assert noted["emotion_loss"] == pytest.approx(equation_4, rel=1e-4)
    entropy = reference.entropy(after)
    assert noted["speaker_entropy"] == pytest.approx(entropy, rel=1e-4)
    assert loss.item() == pytest.approx(equation_5, rel=1e-4, abs=1e-4)
    right = np.argmax(after, axis=1) == np.array(speakers)
    assert noted["speaker_accuracy"] == pytest.approx(right.mean())
    assert reference.entropy(before) != pytest.approx(entropy, rel=1e-6)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("memory", [0, 10])
@pytest.mark.parametrize("lam, noise", [(0.5, 0), (0.9, 0.3)])
def test_gradients_of_both_steps(build, lam, noise, memory, standardise):
    """Each against float64: of SC in step 1, of ENC and EC in step 2."""
    settings = {"emotion_weight": lam, "speaker_memory": memory, "ramp": False}
    settings["speaker_noise"] = noise
    brain, datasets = build(standardise=standardise, **settings)
    batches = begin(brain, datasets)
    stir(brain)
    brain.fit_batch(batches[0])
    brain.step = 2
    held = brain.memory.held()
    steps = watch_steps(brain)
    brain.fit_batch(batches[1])
    assert len(steps) == 4
    batch, seen = batches[1], normal if standardise else lambda v: v
    emotions, speakers = true_classes(batch)
    # what SC learns on: the last ten, drawn, or the batch alone
    vectors = encoded(steps[0][1]["encoder"], batch.sig.data).detach()
    draw = np.random.default_rng([3, 1, 2])
    if memory:
        assert len(held[0]) == 6
        kept = torch.cat([held[0].double(), vectors])[-10:]
        names = [*held[1].tolist(), *speakers][-10:]
    for gradients, modules, *_ in steps[:3]:
        given, targets = vectors, speakers
        if memory:
            chosen = draw.integers(10, size=8)
            given, targets = kept[chosen], [names[i] for i in chosen]
        shown = seen(given)
        if noise:
            shown = shown + torch.from_numpy(draw.normal(0, 0.3, shown.shape))
        loss = nll(modules["speaker_classifier"](shown), targets)
        expected = own_gradients(modules, loss)
        assert all(
            gradients[name] is None
            for name in gradients
            if not name.startswith("speaker")
        )
        check_gradients(gradients, expected, {"speaker_classifier"})
    gradients, modules, *_ = steps[3]
    vectors = encoded(modules["encoder"], batch.sig.data)
    emotion = nll(modules["classifier"](vectors), emotions)
    entropy = mean_entropy(modules["speaker_classifier"](seen(vectors)))
    loss = lam * emotion - (1 - lam) * entropy
    expected = own_gradients(modules, loss)
    frozen = [g for n, g in gradients.items() if n.startswith("speaker")]
    assert all(gradient is None for gradient in frozen)
    check_gradients(gradients, expected, {"encoder", "classifier"})


def test_gradient_of_equation_5_by_finite_differences(build):
    """A few weights moved by hand; SC's own slope must be no part of it."""
    brain, datasets = build(**PRINTED | {"standardise": True})
    batch = begin(brain, datasets)[0]
    stir(brain)
    steps = watch_steps(brain)
    brain.fit_batch(batch)
    gradients, modules, *_ = steps[1]
    emotions, _ = true_classes(batch)
    features = batch.sig.data.double()

    def objective():
        """Eq. 5 by the reference."""
        vectors = encoded(modules["encoder"], features)
        return reference.objective(
            modules["classifier"](vectors).tolist(),
            emotions,
            modules["speaker_classifier"](normal(vectors)).tolist(),
            0.5,
        )

    with torch.no_grad():
        for name in ("encoder.convs.0.weight", "encoder.gru.weight_hh_l0"):
            module, key = name.split(".", 1)
            weight = dict(modules[module].named_parameters())[key].flatten()
            place = int(np.abs(gradients[name]).argmax())
            middle, values = weight[place].item(), []
            for side in (1e-5, -1e-5):
                weight[place] = middle + side
                values.append(objective())
            weight[place] = middle
            slope = (values[0] - values[1]) / 2e-5
            found = gradients[name].flatten()[place]
            assert found == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize("standardise", [False, True])
@pytest.mark.parametrize("memory", [0, 10])
@pytest.mark.parametrize("count", [1, 20])
def test_each_step_moves_exactly_its_parameters(
    build, count, memory, standardise
):
    """All of SC in step 1, all of ENC and EC in step 2, no other bit."""
    settings = {"speaker_steps": count, "speaker_memory": memory}
    brain, datasets = build(standardise=standardise, **settings)
    batches = begin(brain, datasets)
    stir(brain)
    for brain.step, batch in enumerate(batches[: 2 if count == 1 else 1], 1):
        steps = watch_steps(brain)
        brain.fit_batch(batch)
        assert len(steps) == count + 1
        for *_, before, after in steps[:count]:
            some, whole = changed(before, after)
            assert some == whole == {"speaker_classifier"}
        *_, before, after = steps[count]
        some, whole = changed(before, after)
        assert some == whole == {"encoder", "classifier"}
        # and nothing moves between the steps
        for (*_, after), (*_, before, _) in zip(steps, steps[1:]):
            assert changed(before, after) == (set(), set())
        del brain.optimizers_step


def test_one_pass_serves_both_steps(build):
    """As if the batch were encoded anew after step 1: bit for bit."""
    brain, datasets = build()
    shared = fit(brain, datasets)
    brain, datasets = build()

    def fit_batch(batch):
        """Stands in for the Brain's, with two passes."""
        with torch.no_grad():
            first = brain.compute_forward(batch, TRAIN)["embeddings"]
        brain.train_speaker_classifier(first, batch.speaker)
        outputs = brain.compute_forward(batch, TRAIN)
        loss = brain.compute_objectives(outputs, batch, TRAIN)
        loss.backward()
        brain.optimizers_step()
        return loss.detach()

    brain.fit_batch = fit_batch
    twice = fit(brain, datasets)
    assert changed(shared, twice) == (set(), set())


@pytest.mark.parametrize("lam, scale", [(0.5, 1.0), (0.8, 0.3)])
@pytest.mark.parametrize("system", SYSTEMS[:3])
def test_the_other_systems_move_what_they_should(build, system, lam, scale):
    """Eq. 1 and 4 weighed; of dat the encoder's gradient of Eq. 1 reversed."""
    settings = {"emotion_weight": lam, "reversal_scale": scale}
    brain, datasets = build(system=system, **settings)
    batch = begin(brain, datasets)[0]
    stir(brain)
    steps = watch_steps(brain)
    loss = brain.fit_batch(batch)
    assert len(steps) == 1
    gradients, modules, before, after = steps[0]
    emotions, speakers = true_classes(batch)
    vectors = encoded(modules["encoder"], batch.sig.data)
    emotion = nll(modules["classifier"](vectors), emotions)
    logits = modules["speaker_classifier"](vectors)
    of_emotion = own_gradients(modules, emotion)
    moved, noted = {"encoder", "classifier"}, brain.history.means()
    assert noted["emotion_loss"] == pytest.approx(emotion.item(), rel=1e-4)
    if system == "emotion_only":
        assert loss.item() == pytest.approx(emotion.item(), rel=1e-4)
        check_gradients(gradients, of_emotion, moved)
        assert set(noted) == {"emotion_loss"}
    else:
        vectors = encoded(modules["encoder"], batch.sig.data)
        logits = modules["speaker_classifier"](vectors)
        speaker = nll(logits, speakers)
        of_speaker = own_gradients(modules, speaker)
        sign = -scale if system == "dat" else 1
        part = {"encoder": (lam, sign * (1 - lam)), "classifier": (lam, 0)}
        part["speaker_classifier"] = (0, 1 - lam)
        expected = {}
        for name in gradients:
            expected[name] = sum(
                factor * gradient
                for factor, gradient in zip(
                    part[name.split(".")[0]],
                    (of_emotion[name], of_speaker[name]),
                )
                if gradient is not None
            )
        moved |= {"speaker_classifier"}
        check_gradients(gradients, expected, moved)
        total = lam * emotion.item() + (1 - lam) * speaker.item()
        assert loss.item() == pytest.approx(total, rel=1e-4)
        assert noted["speaker_loss"] == pytest.approx(speaker.item(), rel=1e-4)
        found = noted["speaker_entropy"]
        assert found == pytest.approx(mean_entropy(logits).item(), rel=1e-4)
        right = logits.argmax(dim=1) == torch.tensor(speakers)
        share = right.double().mean().item()
        assert noted["speaker_accuracy"] == pytest.approx(share)
    assert changed(before, after) == (moved, moved)


@pytest.mark.parametrize("system", SYSTEMS[1:])
def test_class_weights_weigh_the_emotions_alone(build, system):
    """Of the loss; the speakers all count the same."""
    brain, datasets = build(system=system, class_weights="balanced", ramp=False)
    batch = begin(brain, datasets)[0]
    outputs = brain.compute_forward(batch, TRAIN)
    loss = brain.compute_objectives(outputs, batch, TRAIN).item()
    emotions, speakers = true_classes(batch)
    counts = collections.Counter(e["emotion"] for e in TRAINING.values())
    weight = [20 / (4 * counts[LABELS[i]]) for i in emotions]
    assert len(set(weight)) > 1
    rows = reference.log_probabilities(outputs["logits"].tolist())
    emotion = -sum(w * r[i] for w, r, i in zip(weight, rows, emotions))
    emotion /= sum(weight)
    vectors = outputs["embeddings"].detach()
    given = normal(vectors) if system == "menan" else vectors
    logits = brain.modules.speaker_classifier(given).tolist()
    if system == "menan":
        second = -reference.entropy(logits)
    else:
        second = reference.speaker_loss(logits, speakers)
    assert loss == pytest.approx(0.9 * emotion + 0.1 * second, rel=1e-4)


# The course of a training


def plainly(modules, epochs, settings):
    """The paper's section 3.3 as a plain PyTorch loop; ours by settings.

    Arguments
    ---------
    modules : dict
        Copies of those at the beginning, trained here.
    epochs : list of list of list of str
        The utterances of each batch of each epoch.
    settings : dict
    """
    encoder, classifier, speakers = (modules[name] for name in MODULES)
    rates = settings["lr"], settings["lr_speaker"]
    main = [*encoder.parameters(), *classifier.parameters()]
    main = torch.optim.Adam(main, lr=rates[0])
    other = torch.optim.Adam(speakers.parameters(), lr=rates[1])
    lam, remembered = settings["emotion_weight"], []
    seen = normal_layer if settings["standardise"] else lambda v: v
    for epoch, batches in enumerate(epochs, 1):
        factor = reference.polynomial_rate(epoch, len(epochs), 1.0)
        for optimizer, rate in zip((main, other), rates):
            optimizer.param_groups[0]["lr"] = rate * factor
        for step, keys in enumerate(batches, 1):
            held = [TRAINING[key] for key in keys]
            x = torch.stack([features_of(entry) for entry in held])
            k = ["ABCDE".index(entry["speaker"]) for entry in held]
            e = [LABELS.index(entry["emotion"]) for entry in held]
            with torch.no_grad():
                v = encoder(x)
            remembered += zip(v, k)
            remembered = remembered[-(settings["speaker_memory"] or len(k)) :]
            draw = np.random.default_rng([settings["seed"], epoch, step])
            for _ in range(settings["speaker_steps"]):
                shown = remembered
                if settings["speaker_memory"]:
                    size = settings["speaker_batch_size"]
                    places = draw.integers(len(remembered), size=size)
                    shown = [remembered[i] for i in places]
                vectors = torch.stack([vector for vector, _ in shown])
                other.zero_grad()
                vectors = seen(vectors)
                if settings["speaker_noise"]:
                    noise = draw.normal(0, 0.5, vectors.shape)
                    vectors = vectors + torch.from_numpy(noise).float()
                logits = speakers(vectors)
                nll(logits, [speaker for _, speaker in shown]).backward()
                other.step()
            main.zero_grad()
            v = encoder(x)
            weight = lam
            if settings["ramp"]:
                share = (epoch - 1) / len(epochs)
                share += (step - 1) / len(batches) / len(epochs)
                rise = 2 / (1 + math.exp(-10 * share)) - 1
                weight = 1 - (1 - lam) * rise
            loss = weight * nll(classifier(v), e)
            loss = loss - (1 - weight) * mean_entropy(speakers(seen(v)))
            loss.backward()
            main.step()


def normal_layer(embeddings):
    """Batch norm without weights and without memory."""
    return torch.nn.functional.batch_norm(
        embeddings, None, None, training=True, eps=1e-5
    )


@pytest.mark.parametrize(
    "settings", [PRINTED, {"speaker_batch_size": 7}], ids=["printed", "ours"]
)
def test_training_is_a_plain_loop(build, settings):
    """Two epochs; all weights as a loop from the paper's text leaves them."""
    brain, datasets = build(**settings)
    modules = {name: copy.deepcopy(brain.modules[name]) for name in MODULES}
    seen, original = [], brain.fit_batch

    def fit_batch(batch):
        """Notes what is in the batch."""
        if brain.step == 1:
            seen.append([])
        seen[-1].append(list(batch.id))
        return original(batch)

    brain.fit_batch = fit_batch
    before = state(brain)
    found = fit(brain, datasets)
    assert [[*map(len, batches)] for batches in seen] == [[6, 6, 6, 2]] * 2
    assert seen[0] != seen[1]
    assert sorted(sum(seen[1], [])) == sorted(TRAINING)
    more = SMALL | {"lr": 0.001, "ramp": True, "standardise": True}
    plainly(modules, seen, more | settings)
    for name in MODULES:
        for key, value in modules[name].state_dict().items():
            key = f"{name}.{key}"
            moved = (found[key] - before[key]).abs().max()
            assert moved > 1e-4, key
            torch.testing.assert_close(
                found[key], value, atol=2e-5, rtol=0, msg=key
            )


@pytest.mark.parametrize("system", SYSTEMS)
def test_order_within_a_batch_changes_nothing(build, system):
    """But for rounding: no utterance has a place of its own."""
    left = []
    for order in ([0, 1, 2, 3, 4, 5], [4, 2, 5, 0, 3, 1]):
        # noise has places
        settings = {"speaker_memory": 0, "speaker_noise": 0}
        brain, datasets = build(system=system, **settings)
        batch = begin(brain, datasets)[0]
        rows = {row["id"]: row for row in datasets["training"]}
        batch = PaddedBatch([rows[batch.id[i]] for i in order])
        loss = brain.fit_batch(batch)
        left.append((loss, brain.history.means(), state(brain)))
    one, other = left
    assert one[0].item() == pytest.approx(other[0].item(), rel=1e-5)
    assert one[1] == pytest.approx(other[1], rel=1e-4)
    for name, value in one[2].items():
        # a gradient of nothing but rounding is a step all the same
        near = (value - other[2][name]).abs() < 1e-5
        assert near.double().mean() > 0.95, name


@pytest.mark.parametrize("ramp", [True, False])
def test_ramp_lowers_lambda_step_by_step(build, ramp):
    """From 1 to nearly its value: what the losses of each step tell."""
    settings = {"ramp": ramp, "emotion_weight": 0.4, "number_of_epochs": 3}
    brain, datasets = build(**settings)
    found, original = [], brain.fit_batch

    def fit_batch(batch):
        """Solves Eq. 5 for lambda."""
        held, brain.history.running = brain.history.running, {}
        loss = original(batch).item()
        now = brain.history.means()
        entropy = now["speaker_entropy"]
        found.append((loss + entropy) / (now["emotion_loss"] + entropy))
        brain.history.running = held
        return torch.tensor(loss)

    brain.fit_batch = fit_batch
    fit(brain, datasets)
    share = [step / 12 for step in range(12)]
    expected = [
        1 - 0.6 * (2 / (1 + math.exp(-10 * p)) - 1) if ramp else 0.4
        for p in share
    ]
    assert found == pytest.approx(expected, abs=1e-4)
    assert expected[0] == (1 if ramp else 0.4) and expected[-1] < 0.401


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_learning_rates_fall_by_a_polynomial(build, power):
    """Of both optimizers, the first epoch with the whole rate."""
    brain, datasets = build(lr=0.01, lr_power=power, speaker_steps=1)
    found, original = [], brain.fit_batch

    def fit_batch(batch):
        """Notes the rates."""
        optimizers = brain.optimizers_dict
        rates = {n: o.param_groups[0]["lr"] for n, o in optimizers.items()}
        found.append((brain.epoch, rates))
        return original(batch)

    brain.fit_batch = fit_batch
    fit(brain, datasets)
    assert [epoch for epoch, _ in found] == sorted([1, 2] * 4)
    for epoch, rates in found:
        factor = reference.polynomial_rate(epoch, 2, power)
        assert rates["rest"] == pytest.approx(0.01 * factor)
        assert rates["speaker_classifier"] == pytest.approx(0.003 * factor)


def test_memory_keeps_the_last_embeddings(build):
    """As they were when they were made; a part of the state, no weight."""
    brain, datasets = build(speaker_memory=10)
    made, held = [], []
    for brain.step, batch in enumerate(begin(brain, datasets), 1):
        embeddings = brain.modules.encoder(batch.sig.data).detach()
        made += zip(embeddings, true_classes(batch)[1])
        brain.fit_batch(batch)
        vectors, speakers = brain.memory.held()
        held.append(len(speakers))
        for i, (vector, speaker) in enumerate(made[-10:]):
            assert torch.equal(vectors[i], vector) and speakers[i] == speaker
    assert held == [6, 10, 10, 10]
    assert set(brain.memory.state_dict()) == {"embeddings", "speakers"}


def test_draws_hang_on_seed_epoch_and_step_alone(build):
    """So that a run that goes on has the same."""

    def drawn(epoch=1, step=1, before=0, **settings):
        """The weights of SC after one batch: the same, with the same model."""
        brain, datasets = build(**settings)
        begin(brain, datasets, epoch)
        torch.manual_seed(1)
        with torch.no_grad():
            for p in brain.modules.parameters():
                p.copy_(0.3 * torch.randn_like(p))
        brain.epoch, brain.step = epoch, step
        rows = [datasets["training"][i] for i in range(6)]
        torch.rand(before)
        np.random.rand(before)
        for optimizer in brain.optimizers_dict.values():
            optimizer.param_groups[0]["lr"] = 0.01
        brain.fit_batch(PaddedBatch(rows))
        return state(brain)["speaker_classifier.0.weight"]

    first = drawn()
    assert torch.equal(first, drawn()) and torch.equal(first, drawn(before=5))
    others = [drawn(seed=4), drawn(epoch=2), drawn(step=2)]
    assert not any(torch.equal(first, other) for other in others)


def test_gradient_accumulation(build):
    """SC learns in each batch, ENC and EC from the mean over two."""
    brain, datasets = build(
        run_opts={"grad_accumulation_factor": 2},
        speaker_steps=1,
        ramp=False,
    )
    batches = begin(brain, datasets)
    stir(brain)
    steps, judged = watch_steps(brain), []
    original = brain.judge
    brain.judge = lambda v: (
        judged.append(doubled(brain)["speaker_classifier"]) or original(v)
    )
    for brain.step, batch in enumerate(batches[:2], 1):
        brain.fit_batch(batch)
    moved = [changed(*step[2:])[0] for step in steps]
    only = {"speaker_classifier"}
    assert moved == [only, only, {"encoder", "classifier"}]
    gradients, modules, *_ = steps[2]
    total = 0
    for batch, speakers in zip(batches, judged):
        vectors = encoded(modules["encoder"], batch.sig.data)
        emotion = nll(modules["classifier"](vectors), true_classes(batch)[0])
        entropy = mean_entropy(speakers(normal(vectors)))
        total = total + (0.9 * emotion - 0.1 * entropy) / 2
    expected = own_gradients(modules, total)
    check_gradients(gradients, expected, {"encoder", "classifier"})


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_rows_of_the_curves(build, system, precision):
    """One an epoch, with the speakers' columns where there are speakers."""
    brain, datasets = build(system=system, run_opts={"precision": precision})
    fit(brain, datasets)
    columns = {"speaker_entropy", "speaker_loss", "speaker_accuracy"}
    for number, row in enumerate(brain.history.rows, 1):
        assert row["epoch"] == number and row["train_loss"] is not None
        found = {name for name in row if name.startswith("speaker")}
        assert found == (set() if system == "emotion_only" else columns)
        assert all(math.isfinite(value) for value in row.values())
        if found:
            assert 0 < row["speaker_entropy"] <= math.log(5) + 1e-6
            assert 0 <= row["speaker_accuracy"] <= 1
    assert len(brain.history.rows) == 2


def test_what_choosing_the_epoch_would_give(build):
    """Where the last is taken: the first best one, and how it does unseen."""
    brain, datasets = build(system="emotion_only", number_of_epochs=4)
    held, original = [], brain.on_epoch_end
    words = [e["emotion"] for e in entries(datasets["evaluation"])]
    often = sorted(range(4), key=lambda i: words.count(brain.labels[i]))
    order = [often[0], often[3], often[0], often[3]]
    brain.validation_scores = lambda dataset: {
        "UA": [0.2, 0.6, 0.6, 0.5][brain.epoch - 1],
        "WA": brain.epoch / 10,
        "macro_F1": brain.epoch / 20,
        "weighted_F1": brain.epoch / 30,
    }

    def on_epoch_end(epoch):
        """Evaluates too, and moves the classifier so that it matters."""
        bias = brain.modules.classifier[-1].bias
        bias.data.zero_()[order[epoch - 1]] = 100
        held.append(brain.score(brain.predict(datasets["evaluation"])))
        original(epoch)

    brain.on_epoch_end = on_epoch_end
    fit(brain, datasets)
    assert held[0]["WA"] != held[1]["WA"]
    assert brain.findings()["best_epoch"] == {
        "epoch": 2,
        "validation": {
            "UA": 0.6,
            "WA": 0.2,
            "macro_F1": 0.1,
            "weighted_F1": 2 / 30,
        },
        "evaluation": {name: held[1][name] for name in SHARES},
    }
    brain, datasets = build(system="emotion_only", model_selection="best")
    fit(brain, datasets)
    assert brain.findings() == {"best_epoch": None}


# Evaluation


def test_evaluation_knows_no_batch(build):
    """The same posterior alone, in any order, with all others."""
    brain, datasets = build()
    fit(brain, datasets)
    whole = brain.predict(datasets["train"])
    assert list(whole) == list(TRAINING)
    # one more than a batch that trains
    assert len(brain.predict(datasets["validation"])) == 7
    brain.eval_batch_size = 1
    for key, alone in brain.predict(datasets["train"]).items():
        for name in ("posterior", "embedding"):
            torch.testing.assert_close(
                alone[name], whole[key][name], atol=1e-6, rtol=1e-5
            )
    x = features_of(TRAINING["A03"])[None]
    vector = brain.modules.encoder(x)
    torch.testing.assert_close(vector[0], whole["A03"]["embedding"])
    expected = log_p(brain.modules.classifier(vector)).exp()[0]
    torch.testing.assert_close(expected, whole["A03"]["posterior"])


# Figures


@pytest.fixture
def drawn(monkeypatch):
    """What the figures are given, by name of the function."""
    found = collections.defaultdict(list)
    for module, name in (
        (menan, "plot_curves"),
        (speaker_plots, "plot_speakers"),
        (menan, "plot_speaker_entropy"),
    ):
        monkeypatch.setattr(
            module,
            name,
            lambda path, *args, _name=name, **kwargs: found[_name].append(
                (os.path.basename(path), args, kwargs)
            ),
        )
    return found


def draw(brain, datasets, leakage=None):
    """Draws the figures of a Brain."""
    brain.selected_epoch, brain.leakage = 2, leakage
    parts = {n: d for n, d in datasets.items() if n != "training"}
    predictions = {n: brain.predict(data) for n, data in parts.items()}
    brain.draw_figures(predictions, "a title")
    return predictions


@pytest.mark.parametrize("system", SYSTEMS)
def test_figure_2_shows_unseen_speakers(build, drawn, system):
    """Validation and evaluation, not who trains; then SC, if there is one."""
    brain, datasets = build(system=system)
    brain.history.rows = [{"epoch": 1, "speaker_entropy": 1.0}]
    found = {"accuracy": 0.625, "chance": 0.2}
    predictions = draw(brain, datasets, found)
    ((name, (rows, panels, title), _),) = drawn["plot_curves"]
    assert (name, title) == ("curves.png", "a title")
    assert rows is brain.history.rows
    assert [list(curves) for _, curves in panels] == [
        ["emotion_loss", "valid_loss"],
        ["valid_WA", "valid_UA"],
    ]
    ((name, (rows, labels, title), _),) = drawn["plot_speakers"]
    assert (name, labels) == ("speakers.png", LABELS)
    assert title == "a title: speakers that do not train"
    ((key, row),) = rows.items()
    assert key == system
    assert row["speaker"] == ["V"] * 7 + ["T"] * 9
    both = {**corpus("V", 7), **corpus("T", 9)}
    assert row["emotion"] == [entry["emotion"] for entry in both.values()]
    for i, utterance in enumerate(both):
        part = "validation" if utterance[0] == "V" else "evaluation"
        expected = predictions[part][utterance]["embedding"].numpy()
        assert np.array_equal(row["embeddings"][i], expected)
    assert "62.5 %" in row["note"] and "20.0 %" in row["note"]
    if system == "emotion_only":
        assert not drawn["plot_speaker_entropy"]
        return
    ((name, (held, n, title), kwargs),) = drawn["plot_speaker_entropy"]
    assert (name, n, title) == ("adversary.png", 5, "a title")
    assert held == brain.history.rows
    assert kwargs == {"marks": [(2, "selected")]}


def test_figure_2_without_words(build, drawn):
    """No probe: no note. A speaker without a name: none is made up."""
    brain, datasets = build()
    entry = datasets["validation"].data["V00"]["entry"]
    gone = {k: v for k, v in entry.items() if k != "speaker"}
    datasets["validation"].data["V00"]["entry"] = gone
    draw(brain, datasets)
    row = drawn["plot_speakers"][0][1][0]["menan"]
    assert row["note"] == ""
    assert row["speaker"][:2] == ["", "V"]


def test_another_run_is_drawn_above(build, drawn, tmp_path, caplog):
    """If it is there, is another, and can be drawn; else the log tells."""
    other, mine = tmp_path / "other", tmp_path / "mine"
    brain, datasets = build(system="multitask", output_folder=str(other))
    stir(brain)
    draw(brain, datasets)

    def rows(compared_folder):
        """What is drawn above it."""
        if compared_folder is not None:
            compared_folder = str(compared_folder)
        brain.compared_folder = compared_folder
        return brain.compared_row()

    brain, datasets = build(output_folder=str(mine))
    assert rows(None) == []
    with caplog.at_level("INFO", logger="speechbrain_ser.methods.menan"):
        assert "alone" not in caplog.text
        # its own folder, by whatever name
        assert rows(other / ".." / "mine") == []
        assert "alone" not in caplog.text
        assert rows(tmp_path / "nowhere") == []
        assert "menan alone" in caplog.text and "nowhere" in caplog.text
    brain.compared_folder = str(other)
    drawn.clear()
    draw(brain, datasets)
    found = drawn["plot_speakers"][0][1][0]
    assert list(found) == ["multitask", "menan"]
    one, two = found.values()
    assert not np.array_equal(one["embeddings"], two["embeddings"])
    for name in ("speaker", "emotion", "note"):
        assert one[name] == two[name]
    shutil.copytree(mine, tmp_path / "same")
    assert [str(row["name"]) for row in rows(tmp_path / "same")] == [
        "menan (compared)"
    ]
    with np.load(mine / menan.ROW) as file:
        row = dict(file)
    path = other / menan.ROW
    whole = path.read_bytes()

    def refused():
        """One sentence that names the file."""
        with pytest.raises(InputError, match="--compared_folder") as error:
            rows(other)
        said = str(error.value)
        assert said.startswith(f"{path} can't be read") and "\n" not in said

    for damaged in (b"no figure", whole[:300], b"", whole[:-30]):
        path.write_bytes(damaged)
        refused()
    for spoilt in (
        {"speaker": row["speaker"][1:]},
        {"emotion": np.array(["joy"] * 16)},
        {"embeddings": row["embeddings"] * np.nan},
        {"note": np.array({}, dtype=object)},
    ):
        with open(path, "wb") as file:
            np.savez(file, **row | spoilt)
        refused()
    with open(path, "wb") as file:
        np.savez(file, embeddings=row["embeddings"])
    refused()


# Features


def test_features_are_standardised_by_those_that_train(tones, tmp_path):
    """Copies too, each speech once; cut or repeated when they are asked for."""
    keys = list(tones)
    training = with_speeds({k: tones[k] for k in keys[:3]}, [0.8])
    again = {"again": dict(tones[keys[0]])}
    parts = {
        "training": training | again,
        "train": {k: tones[k] for k in keys[:3]},
        "evaluation": {k: tones[k] for k in keys[3:6]},
    }
    features = LogMelPitchEnergy(n_mels=5)
    scale = Standardisation(features.dim)
    read = framed_features(
        parts, features, scale, str(tmp_path / "kept"), 16000, 70, "cpu"
    )

    def computed(entry):
        """The features by hand."""
        wav, rate = soundfile.read(entry["wav"], dtype="float32")
        wav = torch.from_numpy(wav)
        if "speed" in entry:
            wav = load_audio(entry)
            assert len(wav) == pytest.approx(entry["duration"] * rate, abs=1)
        return features(wav[None], torch.ones(1))[0][0].double()

    every = torch.cat([computed(entry) for entry in training.values()])
    mean, spread = every.mean(0), every.std(0, unbiased=False)
    torch.testing.assert_close(scale.mean.double(), mean, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(scale.std.double(), spread, atol=1e-4, rtol=1e-4)
    lengths = set()
    for part in parts.values():
        for entry in part.values():
            frames = ((computed(entry) - mean) / spread).float()
            lengths.add(len(frames) > 70)
            chosen = reference.fixed_indices(len(frames), 70)
            torch.testing.assert_close(
                read(entry), frames[chosen], atol=1e-3, rtol=1e-3
            )
    assert lengths == {True, False}
    assert len(list((tmp_path / "kept").rglob("*.npy"))) == 9
