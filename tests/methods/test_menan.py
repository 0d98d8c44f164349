"""MEnAN's Brain, as its recipe builds it, against Eq. 1 to 5 of the paper."""

import collections
import functools

import numpy as np
import pytest
import torch

from speechbrain_ser.experiment.hparams import load, peek, with_overrides
from speechbrain_ser.methods.menan import SYSTEMS
from speechbrain_ser.utils.errors import InputError
from tests.methods.menan_brain import (
    HPARAMS,
    LABELS,
    MODULES,
    PRINTED,
    TRAIN,
    TRAINING,
    array,
    begin,
    build_brain,
    changed,
    check_gradients,
    encoded,
    features_of,
    fit,
    mean_entropy,
    nll,
    normal,
    own_gradients,
    stir,
    true_classes,
    watch_steps,
)
from tests.references import menan as reference


@pytest.fixture
def build(tmp_path):
    """A function of settings that builds the Brain and its datasets."""
    return functools.partial(build_brain, tmp_path)


# The parts


def test_the_paper_is_what_the_hparams_say():
    """Table 1 and sections 4 and 5; what the paper lacks is marked there."""
    settings = peek(HPARAMS, "")
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
    hparams = load(HPARAMS, with_overrides("", **loaded))
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
    one, other = peek(HPARAMS, ""), peek(small, "")
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
    brain = build(speeds=[0.8, 1.25])
    with brain.train_set.output_keys_as(["id", "label", "speaker"]):
        rows = {row["id"]: row for row in brain.train_set}
    assert len(rows) == 60
    for key, entry in TRAINING.items():
        for name in (key, f"{key}-speed0.8", f"{key}-speed1.25"):
            row = rows[name]
            assert row["label"] == LABELS.index(entry["emotion"])
            assert row["speaker"] == "ABCDE".index(entry["speaker"])
    assert set(brain.datasets) == {"train", "valid", "test"}
    assert list(brain.datasets["train"].data_ids) == list(TRAINING)
    for name, size in (("valid", 7), ("test", 9)):
        with brain.datasets[name].output_keys_as(["id", "speaker"]):
            held = [tuple(row.values()) for row in brain.datasets[name]]
        assert len(held) == size
        assert all(i == -1 and "speed" not in key for key, i in held)
    assert len(begin(brain)) == 10


def test_settings_reach_their_places(build):
    """Those that no other test would miss."""
    brain = build(reversal_scale=0.3, speaker_memory=17, lr_power=2.0)
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
def test_losses_are_equations_1_to_5(build, lam):
    """From features to the sum, by the reference, in the paper's sizes."""
    paper = {"n_mels": 40, "channels": 32, "hidden_sizes": [32, 10]}
    paper |= PRINTED | {"emotion_weight": lam, "batch_size": 4}
    brain = build(lambda entry: features_of(entry, 24, 43), **paper)
    batch = begin(brain)[0]
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
    brain = build(standardise=standardise, **settings)
    batches = begin(brain)
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
    brain = build(**PRINTED | {"standardise": True})
    batch = begin(brain)[0]
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
    brain = build(standardise=standardise, **settings)
    batches = begin(brain)
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
    brain = build()
    shared = fit(brain)
    brain = build()

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
    twice = fit(brain)
    assert changed(shared, twice) == (set(), set())


@pytest.mark.parametrize("lam, scale", [(0.5, 1.0), (0.8, 0.3)])
@pytest.mark.parametrize("system", SYSTEMS[:3])
def test_the_other_systems_move_what_they_should(build, system, lam, scale):
    """Eq. 1 and 4 weighed; of dat the encoder's gradient of Eq. 1 reversed."""
    settings = {"emotion_weight": lam, "reversal_scale": scale}
    brain = build(system=system, **settings)
    batch = begin(brain)[0]
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
    brain = build(system=system, class_weights="balanced", ramp=False)
    batch = begin(brain)[0]
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
