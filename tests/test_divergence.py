"""A training that is worth nothing ends by one sentence, and keeps what was."""

import csv
import logging

import pytest
import torch

import speechbrain as sb
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain_ser.data.dataset import make_dataset
from speechbrain_ser.utils.errors import InputError
from tests.test_brain import (
    LABELS,
    make_brain as make_part,
)

NAN, INF = float("nan"), float("inf")


def make_brain(folder, **settings):
    """A small Brain whose encoder is kept too."""
    brain, counter = make_part(folder, **settings)
    brain.checkpointer.add_recoverable("encoder", brain.modules.encoder)
    return brain, counter


@pytest.fixture
def data(tones):
    """Three batches of tones."""
    return make_dataset(tones, LABELS)


def at(brain, epoch, step, do):
    """Does something before the loss of one training batch; may change it."""
    original = brain.compute_objectives

    def objectives(predictions, batch, stage):
        """Stands in for the Brain's."""
        loss = original(predictions, batch, stage)
        here = (brain.epoch, brain.step) == (epoch, step)
        if stage == sb.Stage.TRAIN and here:
            return do(brain, loss)
        return loss

    brain.compute_objectives = objectives


def factor(value):
    """Multiplies the loss."""
    return lambda brain, loss: loss * value


def poison(value):
    """Breaks a weight that this batch's loss no longer sees."""

    def do(brain, loss):
        """The optimizer leaves it as it is: there is nothing to add to NaN."""
        with torch.no_grad():
            brain.modules.classifier.bias[0] = value
        return loss

    return do


def curves(folder):
    """The rows of curves.csv."""
    with open(folder / "curves.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def checkpoints(folder):
    """The epochs that are saved."""
    saver = make_brain(folder)[0].checkpointer
    return [found.meta["epoch"] for found in saver.list_checkpoints()]


BROKEN = {
    "the loss is nan": (factor(NAN), 2, "step 2: the loss is nan and the weig"),
    "the loss is inf": (factor(INF), 2, "step 2: the loss is inf and the weig"),
    "a weight is nan": (poison(NAN), 3, "after training: the weights of cl"),
    "a weight is inf": (poison(INF), 3, "after training: the weights of cl"),
}


@pytest.mark.parametrize("do, step, said", BROKEN.values(), ids=BROKEN)
def test_what_diverges_ends_and_goes_on_from_before(
    do, step, said, tmp_path, data, caplog
):
    """One sentence; the row and the log say nan; epoch 1 is kept, whole.

    Without the poison the same run then ends as one that had none.
    """
    caplog.set_level(logging.INFO, "speechbrain_ser")
    brain, counter = make_brain(tmp_path / "a", epochs=3)
    at(brain, 2, step, do)
    match = rf"^epoch 2, {said}.*NaN.*learning rates.*\(this one keeps epoch 1"
    with pytest.raises(InputError, match=match) as error:
        brain.fit(counter, data, data)
    assert "\n" not in str(error.value)
    told = [row["train_loss"] for row in curves(tmp_path / "a")]
    assert len(told) == 2 and "epoch 2/3: train_loss" in caplog.text
    if "loss" in said:
        assert told[1] in ("nan", "inf")
        assert f"epoch 2/3: train_loss {told[1]}" in caplog.text
    assert checkpoints(tmp_path / "a") == [1]

    ends = []
    for folder in ("a", "b"):
        brain, counter = make_brain(tmp_path / folder, epochs=3)
        brain.fit(counter, data, data)
        assert [row["epoch"] for row in curves(tmp_path / folder)] == list(
            "123"
        )
        ends.append(brain.modules.classifier.state_dict()["weight"])
    assert torch.equal(*ends)


def scaled(brain):
    """A GradScaler, which SpeechBrain has for half precision on a GPU alone."""
    brain.scaler = torch.GradScaler("cpu", enabled=True)


def skipping(brain):
    """SpeechBrain's option."""
    brain.skip_nonfinite_grads = True


@pytest.mark.parametrize("skip", [scaled, skipping])
def test_a_step_that_is_skipped_ends_nothing(skip, tmp_path, data, caplog):
    """One batch overflows; its step is skipped, the run goes on."""
    brain, counter = make_brain(tmp_path, epochs=2)
    skip(brain)
    at(brain, 1, 2, factor(INF))
    brain.fit(counter, data, data)
    first, second = curves(tmp_path)
    assert first["train_loss"] in ("nan", "inf")
    assert float(second["train_loss"]) < 10 > float(first["valid_loss"])
    assert "epoch 1, step 2: the loss is inf" in caplog.text
    assert 2 in checkpoints(tmp_path)


@pytest.mark.parametrize("skip", [scaled, skipping])
def test_nor_does_patience_last_for_ever(skip, tmp_path, data):
    """As many as SpeechBrain's patience, and one more; or all of an epoch."""
    brain, counter = make_brain(tmp_path / "a")
    skip(brain)
    brain.nonfinite_patience = 1
    at(brain, 1, 1, factor(NAN))
    at(brain, 1, 3, factor(NAN))
    with pytest.raises(InputError, match="step 3: .* nan for the 2th time"):
        brain.fit(counter, data, data)
    brain, counter = make_brain(tmp_path / "b")
    skip(brain)
    for step in (1, 2, 3):
        at(brain, 1, step, factor(NAN))
    with pytest.raises(
        InputError, match="epoch 1, after training: the loss is nan"
    ):
        brain.fit(counter, data, data)


def test_a_loss_without_a_skipped_step_ends_its_epoch(tmp_path, data):
    """Weights that are large, not NaN: the mean loss of the epoch is none."""
    brain, counter = make_brain(tmp_path)
    at(brain, 1, 2, lambda brain, loss: loss + INF)  # the gradient is finite
    with pytest.raises(
        InputError, match="epoch 1, after training: the loss is inf"
    ):
        brain.fit(counter, data, data)


def test_predictions_that_are_no_numbers_name_the_utterance(tmp_path, data):
    """In validation, with the epoch, and afterwards."""
    brain, counter = make_brain(tmp_path)
    original = brain.compute_forward

    def forward(batch, stage):
        """Breaks one utterance where nothing is trained."""
        found = original(batch, stage)
        if stage != sb.Stage.TRAIN and "tone5" in batch.id:
            found["logits"][batch.id.index("tone5")] = NAN
        return found

    brain.compute_forward = forward
    match = "^epoch 1, validation: the posterior of tone5 is not finite"
    with pytest.raises(InputError, match=match):
        brain.fit(counter, data, data)
    assert curves(tmp_path)[0]["valid_loss"] == "nan"
    assert checkpoints(tmp_path) == []
    brain.epoch, brain.stage = None, "evaluation"
    match = "^evaluation: the posterior of tone5 is not finite: look at that"
    with pytest.raises(InputError, match=match):
        brain.predict(data)


def test_what_is_no_number_is_not_trained(tmp_path, data):
    """A poisoned model or codebook, before its first step."""
    brain, counter = make_brain(tmp_path)
    with torch.no_grad():
        next(brain.modules.encoder.parameters()).fill_(NAN)
    with pytest.raises(InputError, match="before epoch 1 .* encoder hold NaN"):
        brain.fit(counter, data, data)


def test_no_such_weights_are_saved_within_an_epoch(tmp_path, data):
    """Else the run would go on from them for ever."""
    brain, counter = make_brain(tmp_path)
    brain.ckpt_interval_steps = 1
    at(brain, 1, 2, poison(NAN))
    with pytest.raises(InputError, match="epoch 1, step 2: the weights of cl"):
        brain.fit(counter, data, data)
    (kept,) = make_brain(tmp_path)[0].checkpointer.list_checkpoints()
    bias = torch.load(kept.paramfiles["classifier"], weights_only=True)["bias"]
    assert torch.isfinite(bias).all()


# Training that changes nothing


def test_an_epoch_that_changes_nothing_is_refused(tmp_path, data):
    """All gradients are NaN and skipped, though each loss is a number."""
    brain, counter = make_brain(tmp_path)
    skipping(brain)
    for parameter in brain.modules.parameters():
        parameter.register_hook(lambda gradient: gradient * NAN)
    with pytest.raises(InputError, match="epoch 1 of 3 .*changed no weight"):
        brain.fit(counter, data, data)


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"grad_accumulation_factor": 99}, "no batch.*factor below 99"),
        ({"grad_accumulation_factor": 3, "debug": True}, "has 2 batches"),
    ],
)
def test_an_epoch_without_a_step_is_refused(changed, said, tmp_path, data):
    """Before it begins."""
    brain, counter = make_brain(tmp_path)
    vars(brain).update(changed)
    with pytest.raises(InputError, match=said):
        brain.fit(counter, data, data)
    assert brain.step == 0


def test_a_limit_of_steps_is_kept_to(tmp_path, data):
    """SpeechBrain's command line gives a word; again, it trains nothing."""
    for _ in range(2):
        brain, counter = make_brain(tmp_path, epochs=5)
        brain.optimizer_step_limit = 4
        brain.fit(counter, data, data)
        assert brain.optimizer_step == 4
        assert len(curves(tmp_path)) == 2
    options = {"device": "cpu", "optimizer_step_limit": "4"}
    assert (
        type(brain)(
            labels=LABELS,
            output_folder="unused",
            batch_size=1,
            modules={},
            run_opts=options,
        ).optimizer_step_limit
        == 4
    )


def test_what_was_not_trained_is_not_reported(tmp_path, data):
    """--test_only without a checkpoint, or of a run that is not over."""
    brain, counter = make_brain(tmp_path)
    with pytest.raises(InputError, match="no checkpoint.*train first"):
        brain.load_selected()
    for done in (0, 1, 2):
        brain, _ = make_brain(tmp_path, epochs=3)
        brain.test_only = True
        with pytest.raises(InputError, match=f"for {done} of 3 epochs: go on"):
            brain.fit(EpochCounter(3), data, data)
        brain, counter = make_brain(tmp_path, epochs=3)
        brain.debug, brain.debug_epochs = True, done + 1
        brain.debug_batches = 99
        brain.fit(counter, data, data)
    brain, counter = make_brain(tmp_path, epochs=3)
    brain.test_only = True
    brain.fit(counter, data, data)
    assert brain.load_selected() in (1, 2, 3)


def test_a_large_loss_is_told_in_few_digits(tmp_path, data, caplog):
    """As it is."""
    caplog.set_level(logging.INFO, "speechbrain_ser.brain")
    brain, counter = make_brain(tmp_path, epochs=1)
    at(brain, 1, 1, lambda brain, loss: loss + 3e30)
    brain.fit(counter, data, data)
    assert "train_loss 1e+30" in caplog.text
