"""The course of MEnAN's training, its evaluation, its features."""

import copy
import functools
import math

import numpy as np
import pytest
import soundfile
import torch

from speechbrain.dataio.batch import PaddedBatch
from speechbrain_ser.methods.menan import SYSTEMS
from speechbrain_ser.utils.audio import load_audio, with_speeds
from tests.methods.menan_brain import (
    LABELS,
    MODULES,
    PRINTED,
    SMALL,
    TRAINING,
    begin,
    build_bare,
    build_brain,
    changed,
    check_gradients,
    doubled,
    encoded,
    features_of,
    fit,
    log_p,
    mean_entropy,
    nll,
    normal,
    own_gradients,
    state,
    stir,
    true_classes,
    watch_steps,
)
from tests.references import menan as reference


@pytest.fixture
def build(tmp_path):
    """A function of settings that builds the Brain and its datasets."""
    return functools.partial(build_brain, tmp_path)


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
    brain = build(**settings)
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
    found = fit(brain)
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
        brain = build(system=system, **settings)
        batch = begin(brain)[0]
        rows = {row["id"]: row for row in brain.train_set}
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
    brain = build(**settings)
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
    fit(brain)
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
    brain = build(lr=0.01, lr_power=power, speaker_steps=1)
    found, original = [], brain.fit_batch

    def fit_batch(batch):
        """Notes the rates."""
        optimizers = brain.optimizers_dict
        rates = {n: o.param_groups[0]["lr"] for n, o in optimizers.items()}
        found.append((brain.epoch, rates))
        return original(batch)

    brain.fit_batch = fit_batch
    fit(brain)
    assert [epoch for epoch, _ in found] == sorted([1, 2] * 4)
    for epoch, rates in found:
        factor = reference.polynomial_rate(epoch, 2, power)
        assert rates["rest"] == pytest.approx(0.01 * factor)
        assert rates["speaker_classifier"] == pytest.approx(0.003 * factor)


def test_memory_keeps_the_last_embeddings(build):
    """As they were when they were made; a part of the state, no weight."""
    brain = build(speaker_memory=10)
    made, held = [], []
    for step, batch in enumerate(begin(brain), 1):
        brain.step = step
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
        brain = build(**settings)
        begin(brain, epoch)
        torch.manual_seed(1)
        with torch.no_grad():
            for p in brain.modules.parameters():
                p.copy_(0.3 * torch.randn_like(p))
        brain.epoch, brain.step = epoch, step
        rows = [brain.train_set[i] for i in range(6)]
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
    brain = build(
        run_opts={"grad_accumulation_factor": 2},
        speaker_steps=1,
        ramp=False,
    )
    batches = begin(brain)
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
    brain = build(system=system, run_opts={"precision": precision})
    fit(brain)
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


# Evaluation


def test_evaluation_knows_no_batch(build):
    """The same posterior alone, in any order, with all others."""
    brain = build()
    fit(brain)
    whole = brain.predict(brain.datasets["train"])
    assert list(whole) == list(TRAINING)
    # one more than a batch that trains
    assert len(brain.predict(brain.datasets["valid"])) == 7
    brain.eval_batch_size = 1
    for key, alone in brain.predict(brain.datasets["train"]).items():
        for name in ("posterior", "embedding"):
            torch.testing.assert_close(
                alone[name], whole[key][name], atol=1e-6, rtol=1e-5
            )
    x = features_of(TRAINING["A03"])[None]
    vector = brain.modules.encoder(x)
    torch.testing.assert_close(vector[0], whole["A03"]["embedding"])
    expected = log_p(brain.modules.classifier(vector)).exp()[0]
    torch.testing.assert_close(expected, whole["A03"]["posterior"])


# Features


def test_features_are_standardised_by_those_that_train(tones, tmp_path):
    """Copies too, each speech once; cut or repeated when they are asked for."""
    keys = list(tones)
    for i, entry in enumerate(tones.values()):
        entry["speaker"] = f"speaker{i % 2}"
    train = {k: tones[k] for k in keys[:3]}
    training = with_speeds(train, [0.8])
    parts = {
        "train": train | {"again": dict(tones[keys[0]])},
        "test": {k: tones[k] for k in keys[3:6]},
    }
    sizes = {"n_mels": 5, "duration": 0.69, "speeds": [0.8]}
    sizes["cache_folder"] = str(tmp_path / "kept")
    brain = build_bare(tmp_path, **sizes)
    features, scale = brain.features, brain.standardisation
    read = brain.reader
    brain.set_parts(parts)

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
    for part in (training, *parts.values()):
        for entry in part.values():
            frames = ((computed(entry) - mean) / spread).float()
            lengths.add(len(frames) > 70)
            chosen = reference.fixed_indices(len(frames), 70)
            torch.testing.assert_close(
                read(entry), frames[chosen], atol=1e-3, rtol=1e-3
            )
    assert lengths == {True, False}
    assert len(list((tmp_path / "kept").rglob("*.npy"))) == 9
    # what is loaded later counts, for speech that nobody trained with
    other = build_bare(tmp_path, **sizes)
    other.set_parts({"test": parts["test"]})
    assert set(other.datasets) == {"test"} and other.train_set is None
    entry = tones[keys[4]]
    assert not torch.equal(other.reader(entry), read(entry))
    other.standardisation.load_state_dict(scale.state_dict())
    for key in parts["test"]:
        assert torch.equal(other.reader(tones[key]), read(tones[key]))
