"""The three stages of GMP-ATL against the reference of the paper's equations."""

import functools
import json
import random
import types

import numpy as np
import pytest
import torch

import speechbrain as sb
from conftest import save_ssl_model
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain_ser.lobes.multitask_head import BLSTMHead
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.methods.gmp_atl import (
    FineTuningBrain,
    MultiTaskBrain,
    RetrainingBrain,
)
from speechbrain_ser.utils import waiting
from speechbrain_ser.utils.checkpoints import AtomicCheckpointer
from speechbrain_ser.utils.errors import InputError
from tests.references import gmp_atl as reference
from tests.waits import waits_of

LABELS = ["ang", "hap", "sad", "neu"]
GENDERS = ["F", "M"]
SIZES = [4, 8]
TRAIN, VALID, TEST = sb.Stage.TRAIN, sb.Stage.VALID, sb.Stage.TEST
SHORT = "tone4"  # four frames


@pytest.fixture(scope="module")
def hubert(tmp_path_factory):
    """A tiny HuBERT without dropout: training computes what evaluation does."""
    folder = tmp_path_factory.mktemp("hubert")
    save_ssl_model(folder, "hubert", "layer", layers=2)
    config = json.loads((folder / "config.json").read_text())
    for name in config:
        if "dropout" in name:
            config[name] = 0.0
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@pytest.fixture
def speech(tones):
    """Five tones of different lengths, three women's; four classes."""
    kept = dict(list(tones.items())[:5])
    for i, entry in enumerate(kept.values()):
        entry["gender"] = "M" if i in (1, 4) else "F"
        entry["stop"] = 400 if i == 4 else 2000 + 500 * i
        entry["duration"] = entry["stop"] / 16000
    assert list(kept)[4] == SHORT
    return kept


def settings_of(folder, hubert):
    """What all three Brains are given."""
    return {
        "labels": LABELS,
        "output_folder": str(folder),
        "batch_size": 8,
        "seed": 3,
        "encoder": functools.partial(SSLEncoder, save_path="unused"),
        "source": hubert,
        "lr": 0.01,
        "opt_class": torch.optim.Adam,
        "run_opts": {"device": "cpu", "noprogressbar": True},
    }


def head():
    """What gives embeddings, and their size."""
    made = functools.partial(BLSTMHead, hidden_size=6, output_size=5)
    return {"head": made, "embedding_size": 5}


def begin(brain, dataset, stage, epoch=1):
    """Starts a stage; returns its one batch."""
    brain.epochs = 2
    brain.init_optimizers()
    brain.modules.train(stage == TRAIN)
    brain.on_stage_start(stage, epoch)
    (batch,) = brain.make_dataloader(dataset, stage)
    return batch


def array(tensor):
    """As NumPy, float64."""
    return tensor.detach().double().numpy()


# Stage 1


def make_multitask(folder, hubert, speech, alpha_e=0.9, weights="none"):
    """The Brain of stage 1, and its data."""
    brain = MultiTaskBrain(
        alpha_e=alpha_e,
        genders=GENDERS,
        class_weights=weights,
        number_of_epochs=2,
        **head(),
        **settings_of(folder, hubert),
    )
    brain.set_parts({"train": speech})
    return brain, brain.train_set


@pytest.mark.parametrize("stage", [TRAIN, VALID])
@pytest.mark.parametrize("alpha_e", [0.9, 0.3, 1])
def test_multitask_loss_is_equation_1(alpha_e, stage, hubert, speech, tmp_path):
    """Of the Brain's own logits, by the reference."""
    brain, data = make_multitask(tmp_path, hubert, speech, alpha_e)
    batch = begin(brain, data, stage)
    predictions = brain.compute_forward(batch, stage)
    loss = brain.compute_objectives(predictions, batch, stage)
    expected = reference.multitask_loss(
        array(predictions["logits"]),
        [LABELS.index(speech[key]["emotion"]) for key in batch.id],
        array(predictions["gender_logits"]),
        [GENDERS.index(speech[key]["gender"]) for key in batch.id],
        alpha_e,
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_class_weights_weigh_the_emotion_alone(hubert, speech, tmp_path):
    """Weighted mean of the emotion's losses, plain mean of the gender's."""
    brain, data = make_multitask(tmp_path, hubert, speech, weights="balanced")
    batch = begin(brain, data, TRAIN)
    predictions = brain.compute_forward(batch, TRAIN)
    loss = brain.compute_objectives(predictions, batch, TRAIN)
    weight = {"ang": 5 / 8, "hap": 5 / 4, "sad": 5 / 4, "neu": 5 / 4}
    emotion = total = gender = 0.0
    for i, key in enumerate(batch.id):
        word = speech[key]["emotion"]
        emotion += weight[word] * reference.cross_entropy(
            array(predictions["logits"])[i], LABELS.index(word)
        )
        total += weight[word]
        gender += reference.cross_entropy(
            array(predictions["gender_logits"])[i],
            GENDERS.index(speech[key]["gender"]),
        )
    expected = 0.9 * emotion / total + 0.1 * gender / len(speech)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_gender_is_validated_by_its_mean_recall(hubert, speech, tmp_path):
    """Of those whose gender is known, as a loop counts it."""
    brain, data = make_multitask(tmp_path, hubert, speech)
    # a classifier that says F of everybody but one
    guesses = dict.fromkeys(speech, 0) | {"tone1": 1, "tone0": 1}
    brain.predict(data)
    for key, held in brain.collected.items():
        held["gender"] = torch.eye(2)[guesses[key]]
    scores = brain.validation_scores(data)
    # women: tone0 wrong of 0, 2, 3; men: tone4 wrong of 1, 4
    assert scores["gender_UA"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    del speech["tone0"]["gender"]
    scores = brain.validation_scores(data)
    assert scores["gender_UA"] == pytest.approx((2 / 2 + 1 / 2) / 2)
    assert {"UA", "WA"} <= set(scores)


# Stage 3


def make_fine_tuning(folder, hubert, speech, loss):
    """The Brain of stage 3, and its data."""
    brain = FineTuningBrain(
        loss=loss,
        number_of_epochs=2,
        margin=0.2,
        scale=30.0,
        **head(),
        **settings_of(folder, hubert),
    )
    brain.set_parts({"train": speech})
    return brain, brain.train_set


@pytest.mark.parametrize("stage", [TRAIN, VALID])
def test_am_softmax_is_equation_2(stage, hubert, speech, tmp_path):
    """On the Brain's own embeddings and weights; its answer has no margin."""
    brain, data = make_fine_tuning(tmp_path, hubert, speech, "am_softmax")
    batch = begin(brain, data, stage)
    predictions = brain.compute_forward(batch, stage)
    loss = brain.compute_objectives(predictions, batch, stage)
    embeddings = array(predictions["embeddings"])
    weights = array(brain.modules.classifier.weight)
    truth = [LABELS.index(speech[key]["emotion"]) for key in batch.id]
    expected, without = (
        reference.am_softmax_loss(embeddings, weights, truth, 30, margin)
        for margin in (0.2, 0)
    )
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    assert expected > without + 0.1
    cosines = reference.am_softmax_cosines(embeddings, weights)
    np.testing.assert_allclose(
        array(predictions["logits"]), 30 * cosines, atol=1e-4
    )
    posteriors = array(brain.outputs(predictions)["posterior"])
    for i in range(len(truth)):
        for c in range(4):
            logs = -reference.cross_entropy(30 * cosines[i], c)
            assert posteriors[i, c] == pytest.approx(np.exp(logs), abs=1e-4)


def test_ce_is_plain_cross_entropy(hubert, speech, tmp_path):
    """Of a linear layer with a bias, which also answers."""
    brain, data = make_fine_tuning(tmp_path, hubert, speech, "ce")
    batch = begin(brain, data, TRAIN)
    predictions = brain.compute_forward(batch, TRAIN)
    loss = brain.compute_objectives(predictions, batch, TRAIN)
    layer = brain.modules.classifier
    logits = [
        reference.linear(row, array(layer.weight), array(layer.bias))
        for row in array(predictions["embeddings"])
    ]
    truth = [LABELS.index(speech[key]["emotion"]) for key in batch.id]
    expected = reference.mean_cross_entropy(logits, truth)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(
        array(predictions["logits"]), logits, rtol=1e-4, atol=1e-6
    )


# The warm-up of the learning rate


def rates_of(folder, hubert, speech, epochs=(1, 2, 3), **settings):
    """The learning rate of each update; five utterances, three updates."""
    more = settings_of(folder, hubert) | {"batch_size": 2} | settings
    brain = FineTuningBrain(loss="ce", number_of_epochs=3, **head(), **more)
    brain.set_parts({"train": speech, "valid": speech})
    rates = []
    step = brain.optimizers_step

    def watch():
        """Keeps the rate that the step is about to be made with."""
        (optimizer,) = brain.optimizers_dict.values()
        rates.append(optimizer.param_groups[0]["lr"])
        step()

    brain.optimizers_step = watch
    counter = EpochCounter(3)
    if brain.checkpointer is not None:
        brain.checkpointer.add_recoverable("counter", counter)
    brain.fit(counter, brain.train_set, brain.datasets["valid"])
    return rates


@pytest.mark.parametrize("final_lr", [1.0, 0.5])
def test_learning_rate_rises_and_then_is_as_ever(
    final_lr, hubert, speech, tmp_path
):
    """In a straight line over five updates, times what the epoch has."""
    given = {"final_lr": final_lr}
    plain = rates_of(tmp_path / "a", hubert, speech, **given)
    again = rates_of(tmp_path / "b", hubert, speech, lr_warmup=0, **given)
    assert plain == again and len(plain) == 9
    assert plain[0] == 0.01 and plain[-1] == pytest.approx(0.01 * final_lr)
    rising = rates_of(tmp_path / "c", hubert, speech, lr_warmup=5, **given)
    share = [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1, 1, 1, 1, 1]
    assert rising == pytest.approx([a * b for a, b in zip(plain, share)])
    assert rising[4:] == plain[4:]


def test_a_run_that_goes_on_rises_from_where_it_was(
    hubert, speech, tmp_path, monkeypatch
):
    """Broken off after the fourth of five updates."""
    given = {"lr_warmup": 5}
    given["run_opts"] = {
        "device": "cpu",
        "noprogressbar": True,
        "ckpt_interval_steps": 1,
        "ckpt_interval_minutes": 0,
    }
    whole = rates_of(tmp_path / "whole", hubert, speech, **given)
    given["checkpointer"] = functools.partial(
        AtomicCheckpointer, tmp_path / "save"
    )
    original = FineTuningBrain.on_fit_batch_end
    seen = []

    def stop(self, *args):
        """Dies at the fifth update."""
        original(self, *args)
        seen.append(args)
        if len(seen) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(FineTuningBrain, "on_fit_batch_end", stop)
    with pytest.raises(KeyboardInterrupt):
        rates_of(tmp_path / "run", hubert, speech, **given)
    monkeypatch.setattr(FineTuningBrain, "on_fit_batch_end", original)
    rest = rates_of(tmp_path / "run", hubert, speech, **given)
    assert 5 <= len(rest) < 9
    assert rest == whole[-len(rest) :]


@pytest.mark.parametrize(
    "maker", [FineTuningBrain, RetrainingBrain, MultiTaskBrain]
)
def test_a_rise_without_an_end_is_refused(maker, speech):
    """With the numbers, before anything is built."""
    settings = {"lr_warmup": 5, "number_of_epochs": 3, "batch_size": 2}
    settings["alpha_e"] = 0.9
    for entry in speech.values():
        entry["speaker"] = entry["gender"]
    parts = {"train": speech, "valid": speech}
    maker.check_parts(parts, settings | {"lr_warmup": 8})
    maker.check_parts(parts, settings | {"lr_warmup": 0})
    said = "of 9 optimizer .*: 3 epochs of 5 .*, 2 a step, are 9: .*--lr_warmup"
    with pytest.raises(InputError, match=said):
        maker.check_parts(parts, settings | {"lr_warmup": 9})
    # three batches make a step
    settings["grad_accumulation_factor"] = 3
    maker.check_parts(parts, settings | {"lr_warmup": 2})
    with pytest.raises(InputError, match="of 3 .*, 6 a step, are 3: give"):
        maker.check_parts(parts, settings | {"lr_warmup": 3})


# Stage 2


@pytest.fixture
def retraining(hubert, speech, tmp_path):
    """The Brain of stage 2, its data, and the labels that the data gives."""
    labels = {}
    brain = RetrainingBrain(
        pseudo_labels=types.SimpleNamespace(sizes=SIZES, read=labels.get),
        start="pretrained",
        head_size=6,
        number_of_epochs=2,
        **settings_of(tmp_path, hubert),
    )
    for key, entry in speech.items():
        count = int(brain.encoder.count_frames(torch.tensor(entry["stop"])))
        columns = [torch.randint(size, (count,)) for size in SIZES]
        labels[key] = torch.stack(columns, dim=1)
    brain.set_parts({"train": speech})
    assert len(labels[SHORT]) == 4
    return brain, brain.train_set, labels


def masks_of(brain, labels):
    """The masks of each utterance, drawn alone."""
    return {
        key: brain.masks([key], [len(held)])[0] for key, held in labels.items()
    }


def alone(brain, speech, labels):
    """Logits, labels and masks of the reference, an utterance at a time."""
    from speechbrain_ser.utils.audio import load_audio

    longest = max(map(len, labels.values()))
    logits = [np.zeros((len(labels), longest, size)) for size in SIZES]
    targets = np.zeros((len(labels), longest, len(SIZES)), dtype=int)
    masked = np.zeros((len(labels), longest), dtype=bool)
    masks = masks_of(brain, labels)
    for n, (key, held) in enumerate(labels.items()):
        with torch.no_grad():
            frames, _ = brain.modules.encoder(
                load_audio(speech[key])[None], torch.ones(1), masks[key][None]
            )
            for i, scores in enumerate(brain.modules.heads(frames[0])):
                logits[i][n, : len(held)] = array(scores)
        targets[n, : len(held)] = held.numpy()
        masked[n, : len(held)] = masks[key].numpy()
    return logits, targets, masked


@pytest.mark.parametrize("stage", [TRAIN, VALID])
def test_masked_prediction_is_the_reference(stage, retraining, speech):
    """Loss and accuracy of a padded batch; each utterance alone gives them."""
    brain, data, labels = retraining
    batch = begin(brain, data, stage)
    predictions = brain.compute_forward(batch, stage)
    loss = brain.compute_objectives(predictions, batch, stage)
    held = alone(brain, speech, labels)
    expected = reference.masked_prediction_loss(*held)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    if stage == TRAIN:
        found = brain.history.means()
    else:
        found = brain.validation_scores(data)
    shares = reference.masked_accuracy(*held)
    assert found == pytest.approx(
        {f"masked_accuracy_{k}": x for k, x in zip(SIZES, shares)}
    )


def test_accuracy_of_a_part_is_that_of_its_frames(retraining, speech):
    """Two batches in a validation: all frames together, not a mean of means."""
    brain, data, labels = retraining
    brain.eval_batch_size = 3
    begin(brain, data, TRAIN)
    brain.modules.eval()
    brain.on_stage_start(VALID, 1)
    batches = list(brain.make_dataloader(data, VALID))
    assert len(batches) == 2
    for batch in batches:
        brain.evaluate_batch(batch, VALID)
    shares = reference.masked_accuracy(*alone(brain, speech, labels))
    assert brain.validation_scores(data) == pytest.approx(
        {f"masked_accuracy_{k}": x for k, x in zip(SIZES, shares)}
    )


def test_only_masked_frames_carry_the_loss(retraining):
    """Labels of others change nothing; frames of others get no gradient."""
    brain, data, labels = retraining
    frames = []
    brain.modules.encoder.register_forward_hook(
        lambda *args: frames.append(args[-1][0])
    )

    def loss_of():
        """And the gradient with respect to the encoder's frames."""
        batch = begin(brain, data, TRAIN)
        predictions = brain.compute_forward(batch, TRAIN)
        frames[-1].retain_grad()
        loss = brain.compute_objectives(predictions, batch, TRAIN)
        loss.backward()
        masked = torch.zeros(frames[-1].shape[:2], dtype=torch.bool)
        masks = masks_of(brain, labels)
        for row, key in zip(masked, batch.id):
            row[: len(masks[key])] = masks[key]
        return loss.item(), frames[-1].grad, masked, batch

    before, gradient, masked, batch = loss_of()
    assert (gradient[~masked] == 0).all()
    assert (gradient[masked].abs().amax(dim=1) > 0).all()
    # of the padded batch alone: the last frame is behind the short one's end
    assert not masked[list(batch.id).index(SHORT), 4:].any()

    masks = masks_of(brain, labels)
    for key, held in labels.items():
        held[~masks[key]] = (held[~masks[key]] + 1) % 4
    again, changed, _, _ = loss_of()
    assert again == before and changed.equal(gradient)

    first = next(iter(labels))
    place = int(masks[first].nonzero()[0])
    labels[first][place] = (labels[first][place] + 1) % 4
    assert loss_of()[0] != before


def test_labels_behind_the_end_are_not_read(retraining):
    """Whatever the padding holds."""
    brain, data, labels = retraining
    losses = []
    for padding in (0, 3):
        batch = begin(brain, data, VALID)
        for row, key in zip(batch.frame_labels.data, batch.id):
            row[len(labels[key]) :] = padding
        predictions = brain.compute_forward(batch, VALID)
        losses.append(brain.compute_objectives(predictions, batch, VALID))
    assert losses[0].equal(losses[1])


def test_short_utterance_takes_part(retraining):
    """Four frames, a mask of ten: three are masked, and count."""
    brain, data, labels = retraining
    batch = begin(brain, data, VALID)
    mask = brain.masks([SHORT], [4])[0]
    assert int(mask.sum()) == 3
    losses = []
    for _ in range(2):
        predictions = brain.compute_forward(batch, VALID)
        losses.append(brain.compute_objectives(predictions, batch, VALID))
        place = list(batch.id).index(SHORT)
        row = batch.frame_labels.data[place, :4]
        row[mask] = (row[mask] + 1) % 4
    assert not losses[0].equal(losses[1])


# Masks


def test_padded_frames_are_never_masked(retraining):
    """In any epoch; of the valid ones about half are."""
    brain, _, labels = retraining
    counts = [len(held) for held in labels.values()]
    shares = []
    for epoch in range(1, 21):
        brain.on_stage_start(VALID)
        brain.mask_epoch = epoch
        masked = brain.masks(list(labels), counts)
        assert masked.shape == (5, max(counts))
        for row, count in zip(masked, counts):
            assert row[:count].any() and not row[count:].any()
        shares.append(float(masked.sum()) / sum(counts))
    # spans of 10 that begin at 8 % of the frames, 0.8 if none overlapped
    assert 0.4 < np.mean(shares) < 0.75


def test_masks_are_an_utterances_own(retraining):
    """Not the batch's, the order's, or any generator's, which stay as is."""
    brain, data, labels = retraining
    begin(brain, data, TRAIN, epoch=1)
    counts = {key: len(held) for key, held in labels.items()}
    first = masks_of(brain, labels)
    for keys in (list(labels), list(labels)[::-1], list(labels)[1:3]):
        random.seed(len(keys))
        np.random.seed(len(keys))
        torch.manual_seed(len(keys))
        states = random.getstate(), torch.get_rng_state()
        drawn = np.random.get_state()[1].copy()
        together = brain.masks(keys, [counts[key] for key in keys])
        for row, key in zip(together, keys):
            assert row[: counts[key]].equal(first[key])
        assert random.getstate() == states[0]
        assert torch.get_rng_state().equal(states[1])
        assert (np.random.get_state()[1] == drawn).all()


def test_masks_of_the_seed_the_epoch_and_the_id(retraining):
    """Each of them gives others; of validations all have the same."""
    brain, data, _ = retraining
    brain.init_optimizers()
    brain.epochs = 3

    def masks(stage, epoch, key="a"):
        """Of a long utterance."""
        brain.on_stage_start(stage, epoch)
        return brain.masks([key], [300])[0]

    first = masks(TRAIN, 1)
    assert first.equal(masks(TRAIN, 1))
    valid = masks(VALID, 1)
    assert valid.equal(masks(VALID, 2)) and valid.equal(masks(TEST, None))
    others = [first, valid, masks(TRAIN, 2), masks(TRAIN, 1, "b")]
    brain.seed += 1
    others.append(masks(TRAIN, 1))
    assert len({tuple(mask.tolist()) for mask in others}) == len(others)


# Labels


@pytest.mark.parametrize("more", [-1, 1])
def test_wrong_number_of_labels_names_the_utterance(more, retraining):
    """One too few, one too many: both numbers."""
    brain, data, labels = retraining
    count = len(labels["tone2"])
    held = torch.cat([labels["tone2"], labels["tone2"]])
    labels["tone2"] = held[: count + more]
    batch = begin(brain, data, TRAIN)
    said = rf"tone2 has {count} frames, but {count + more} pseudo-labels"
    with pytest.raises(InputError, match=said):
        brain.compute_forward(batch, TRAIN)


# Train and valid, compared


def test_train_and_valid_are_evaluated_alike(retraining, speech):
    """The same utterances in both parts have the same accuracy.

    What is noted while it trains is of other masks and moving weights.
    """
    brain, _, labels = retraining
    part = dict(list(speech.items())[:3])
    brain.set_parts({"train": part, "valid": part})
    counter = EpochCounter(2)
    brain.fit(counter, brain.train_set, brain.datasets["valid"])
    for row in brain.history.rows:
        for k in SIZES:
            same = row[f"train_masked_accuracy_{k}"]
            assert same == row[f"valid_masked_accuracy_{k}"]
    assert any(
        row[f"masked_accuracy_{k}"] != row[f"train_masked_accuracy_{k}"]
        for row in brain.history.rows
        for k in SIZES
    )


def test_looking_at_the_train_part_changes_no_weight(
    retraining, speech, monkeypatch
):
    """Of a sample as large as the valid part; without one, a tenth."""
    brain, _, labels = retraining
    keys = list(speech)
    valid = {key: speech[key] for key in keys[3:]}
    brain.set_parts({"train": speech, "valid": valid})
    assert brain.sample.data_ids == [keys[0], keys[2]]
    brain.set_parts({"train": speech})
    assert brain.sample.data_ids == keys[:1]
    start = {k: v.clone() for k, v in brain.modules.state_dict().items()}
    ends = []
    for look in (brain.predict, lambda dataset: None):
        monkeypatch.setattr(brain, "predict", look)
        brain.modules.load_state_dict(start)
        brain.set_parts({"train": speech, "valid": valid})
        brain.hits.fill_(1)
        brain.fit(EpochCounter(2), brain.train_set, None)
        ends.append(
            {k: v.clone() for k, v in brain.modules.state_dict().items()}
        )
        brain.optimizer_step = 0
    assert all(torch.equal(ends[0][k], ends[1][k]) for k in start)
    assert any(not torch.equal(ends[0][k], start[k]) for k in start)


def test_masked_prediction_on_a_grid_of_lengths(retraining):
    """Loss and gradient are those of waveforms that are padded less."""
    brain, data, _ = retraining
    found = []
    for grid in (None, 0.1):
        brain.length_grid = grid
        batch = begin(brain, data, TRAIN)
        assert grid is None or batch.sig.data.shape[1] % 1600 == 0
        predictions = brain.compute_forward(batch, TRAIN)
        loss = brain.compute_objectives(predictions, batch, TRAIN)
        brain.zero_grad()
        loss.backward()
        weight = brain.encoder.model.encoder.layers[0].attention.q_proj.weight
        order = sorted(range(len(batch.id)), key=batch.id.__getitem__)
        found.append((loss.detach(), weight.grad.clone(), order))
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-3, atol=1e-6)


def test_a_step_of_retraining_does_not_wait_for_a_gpu(retraining, monkeypatch):
    """Nor with its masks and its frames' labels."""
    monkeypatch.setattr(waiting, "AT_ONCE", set())
    brain, _, _ = retraining
    brain.batch_size = 2
    assert waits_of(brain, monkeypatch) == []
