"""What all recipes share: losses, optimizers, evaluation, selection."""

import logging
import types

import numpy as np
import pytest
import torch

import speechbrain as sb
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain_ser.brain import SERBrain
from speechbrain_ser.data.dataset import class_weights, make_dataset
from speechbrain_ser.evaluation.report import Report
from speechbrain_ser.lobes.logmel import LogMelEncoder
from speechbrain_ser.lobes.pooling import StatisticsPooling
from speechbrain_ser.utils.checkpoints import AtomicCheckpointer
from speechbrain_ser.utils.errors import InputError
from tests.references import ipr

LABELS = ["ang", "hap", "sad", "neu"]


class PlainBrain(SERBrain):
    """Encoder and classifier, cross entropy."""

    def compute_forward(self, batch, stage):
        """Encodes and classifies."""
        batch = batch.to(self.device)
        frames, lengths = self.modules.encoder(*batch.sig)
        embeddings = self.modules.pooling(frames, lengths)
        logits = self.modules.classifier(embeddings)
        return {"logits": logits, "embeddings": embeddings}

    def compute_objectives(self, predictions, batch, stage):
        """Cross entropy."""
        return self.cross_entropy(predictions["logits"], batch.label)


def make_brain(folder, epochs=2, **settings):
    """A small Brain with a checkpointer, and its epoch counter."""
    torch.manual_seed(0)
    modules = {
        "encoder": LogMelEncoder(channels=8, strides=(2, 2)),
        "pooling": StatisticsPooling("mean"),
        "classifier": torch.nn.Linear(8, 4),
    }
    counter = EpochCounter(epochs)
    recoverables = {"counter": counter, "classifier": modules["classifier"]}
    brain = PlainBrain(
        labels=LABELS,
        output_folder=str(folder),
        batch_size=4,
        modules=modules,
        opt_class=lambda params, lr=0.01: torch.optim.AdamW(params, lr=lr),
        checkpointer=AtomicCheckpointer(folder / "save", recoverables),
        **{"run_opts": {"device": "cpu", "noprogressbar": True}} | settings,
    )
    return brain, counter


def test_wall_time_goes_on_with_the_run(tmp_path, tones, monkeypatch):
    """A run that goes on has the seconds of both processes."""
    from speechbrain_ser import brain as module

    clock = types.SimpleNamespace(now=0.0)
    clock.time = lambda: clock.now
    monkeypatch.setattr(module, "time", clock)
    data = make_dataset(tones, LABELS)
    one, counter = make_brain(tmp_path, epochs=2)
    clock.now = 100.0
    one.fit(counter, data, data)
    clock.now = 1000.0
    other, _ = make_brain(tmp_path, epochs=2)
    other.load_selected()
    clock.now = 1005.0
    assert other.wall_seconds() == 105.0


@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_equals_reference(tmp_path, weighted):
    """With and without class weights; for soft labels too."""
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0]) if weighted else None
    brain, _ = make_brain(tmp_path)
    brain.class_weights = weights
    logits, labels = torch.randn(9, 4), torch.arange(9) % 4
    expected = ipr.cross_entropy(
        logits.double().numpy(),
        labels.numpy(),
        *([weights.double().numpy()] if weighted else []),
    )
    assert float(brain.cross_entropy(logits, labels)) == pytest.approx(
        expected, rel=1e-5
    )
    soft = torch.softmax(torch.randn(9, 4), dim=1)
    assert float(brain.cross_entropy(logits, soft)) == pytest.approx(
        ipr.cross_entropy(logits.double().numpy(), soft.double().numpy()),
        rel=1e-5,
    )


def test_no_utterance_costs_nothing(tmp_path):
    """A batch may hold no precise utterance; the gradient is zero."""
    brain, _ = make_brain(tmp_path)
    logits = torch.randn(3, 4, requires_grad=True)
    none = torch.zeros(0, dtype=torch.long)
    loss = brain.cross_entropy(logits[:0], none)
    loss.backward()
    assert float(loss.detach()) == 0 and (logits.grad == 0).all()


def test_balanced_weights_against_a_count():
    """n / (classes * n of the class)."""
    words = ["ang"] * 6 + ["hap"] * 3 + ["sad"] * 2 + ["neu"]
    part = {str(i): {"emotion": word} for i, word in enumerate(words)}
    found = class_weights(part, LABELS, "balanced")
    np.testing.assert_allclose(found, [12 / 24, 12 / 12, 12 / 8, 12 / 4])
    assert class_weights(part, LABELS, "none") is None
    with pytest.raises(InputError, match="'odd'.*none, balanced"):
        class_weights(part, LABELS, "odd")


def test_learning_rates_by_module_and_epoch(tmp_path, tones):
    """The encoder's own rate; a straight line to a tenth; each clipped."""
    brain, counter = make_brain(
        tmp_path, epochs=3, learning_rates={"encoder": 0.002}, final_lr=0.1
    )
    data = make_dataset(tones, LABELS)
    seen = []
    original = brain.on_stage_end

    def watch(stage, *args):
        """Notes the rates of an epoch."""
        if stage == sb.Stage.TRAIN:
            seen.append(
                {
                    name: optimizer.param_groups[0]["lr"]
                    for name, optimizer in brain.optimizers_dict.items()
                }
            )
        original(stage, *args)

    brain.on_stage_end = watch
    brain.fit(counter, data, data)
    assert [s["encoder"] for s in seen] == pytest.approx([2e-3, 1.1e-3, 2e-4])
    assert [s["rest"] for s in seen] == pytest.approx([1e-2, 5.5e-3, 1e-3])
    parameters = [
        id(p)
        for optimizer in brain.optimizers_dict.values()
        for p in optimizer.param_groups[0]["params"]
    ]
    assert sorted(parameters) == sorted(map(id, brain.modules.parameters()))


def test_one_line_an_epoch(tmp_path, tones, caplog):
    """And a row of curves.csv."""
    brain, counter = make_brain(tmp_path)
    data = make_dataset(tones, LABELS)
    with caplog.at_level(logging.INFO, logger="speechbrain_ser.brain"):
        brain.fit(counter, data, data)
    lines = [r.message for r in caplog.records if "epoch " in r.message]
    assert [line.split(":")[0] for line in lines if "/2" in line] == [
        "epoch 1/2",
        "epoch 2/2",
    ]
    assert len((tmp_path / "curves.csv").read_text().splitlines()) == 3


def test_best_epoch_is_that_of_the_valid_part(tmp_path, tones):
    """And the history stays whole when its weights are loaded."""
    brain, counter = make_brain(tmp_path, epochs=4)
    data = make_dataset(tones, LABELS)
    brain.fit(counter, data, data)
    scores = [row["valid_UA"] for row in brain.history.rows]
    best = max(range(4), key=lambda i: (scores[i], i)) + 1
    assert scores[brain.load_selected() - 1] == scores[best - 1] == max(scores)
    assert len(brain.history.rows) == 4


def test_neither_a_worse_epoch_nor_the_test_part_is_chosen(tmp_path, tones):
    """Scores by hand: the second epoch is best, the last one when tested."""
    data = make_dataset(tones, LABELS)
    brain, counter = make_brain(tmp_path, epochs=4, last_epochs=4)
    brain.datasets = {"test": data}

    def scores(*values):
        """Gives one epoch's scores after the other."""
        names = ("WA", "UA", "macro_F1", "weighted_F1")
        rows = iter([dict.fromkeys(names, value) for value in values])
        return lambda _: next(rows)

    brain.validation_scores = scores(0.2, 0.9, 0.5, 0.4)
    brain.score = scores(0.8, 0.1, 0.3, 1.0)
    brain.fit(counter, data, data)
    assert [row["valid_UA"] for row in brain.history.rows][1] == 0.9
    assert brain.load_selected() == 2


def test_test_part_chooses_nothing(tmp_path, tones):
    """Its scores are kept for the last epochs; the weights don't care."""
    data = make_dataset(tones, LABELS)
    states = []
    for name, tested in (("with", {"test": data}), ("without", {})):
        brain, counter = make_brain(tmp_path / name, epochs=3, last_epochs=2)
        brain.datasets = tested
        brain.fit(counter, data, data)
        states.append(brain.modules.state_dict())
        mean = Report(brain, str(tmp_path / name)).last_epochs_mean()
        if tested:
            kept = [r["UA"] for r in brain.history.notes["last_epochs"]]
            assert mean["epochs"] == [2, 3]
            assert mean["UA"]["mean"] == pytest.approx(np.mean(kept))
        else:
            assert mean is None
    for one, other in zip(*(s.values() for s in states)):
        assert torch.equal(one, other)


def test_best_needs_a_valid_part(tmp_path, tones):
    """Said before training."""
    brain, counter = make_brain(tmp_path)
    with pytest.raises(InputError, match="valid part.*last"):
        brain.fit(counter, make_dataset(tones, LABELS))
    with pytest.raises(InputError, match="'worst'.*best, last"):
        make_brain(tmp_path, model_selection="worst")


def test_last_epoch_needs_none(tmp_path, tones):
    """No validation part: rows and checkpoints all the same."""
    brain, counter = make_brain(tmp_path, model_selection="last")
    brain.fit(counter, make_dataset(tones, LABELS))
    assert brain.load_selected() == 2
    assert "valid_UA" not in brain.history.rows[0]


def test_pieces_of_an_utterance_are_averaged_by_duration(tmp_path):
    """Worked by hand: 1 s and 3 s."""
    brain, _ = make_brain(tmp_path)
    entry = {"wav": "a.wav", "emotion": "sad", "utterance": "a"}
    pieces = {
        "a-1": entry | {"duration": 1.0},
        "a-2": entry | {"duration": 3.0},
    }
    brain.collected = {
        "a-1": {"posterior": torch.tensor([1.0, 0.0, 0.0, 0.0])},
        "a-2": {"posterior": torch.tensor([0.0, 1.0, 0.0, 0.0])},
    }
    merged = brain.merged(make_dataset(pieces, LABELS))
    assert list(merged) == ["a"]
    assert merged["a"]["posterior"].tolist() == [0.25, 0.75, 0.0, 0.0]


def test_prediction_does_not_depend_on_the_batch(tmp_path, tones):
    """Alone, in other batches, in another order: the same posterior."""
    brain, _ = make_brain(tmp_path)
    data = make_dataset(tones, LABELS)
    together = brain.predict(data)
    brain.eval_batch_size = 1
    alone = brain.predict(make_dataset(dict(reversed(tones.items())), LABELS))
    for key in tones:
        torch.testing.assert_close(
            together[key]["posterior"],
            alone[key]["posterior"],
            atol=1e-5,
            rtol=0,
        )


def test_unknown_emotion_is_named(tones):
    """The utterance, the word and the mend."""
    tones["tone3"]["emotion"] = "joy"
    with pytest.raises(InputError, match="tone3.*'joy'.*labels"):
        make_dataset(tones, LABELS)


def test_a_finished_run_says_that_it_is(tmp_path, tones, caplog):
    """Started again it trains nothing, and says so once."""
    data = make_dataset(tones, LABELS)
    caplog.set_level(logging.INFO, "speechbrain_ser.brain")
    for times in (0, 1):
        brain, counter = make_brain(tmp_path)
        brain.fit(counter, data, data)
        assert caplog.text.count("all 2 epochs were trained before") == times


def test_unlabelled_speech_is_passed_over_in_evaluation_alone(tmp_path):
    """In training a missing label is a mistake, not silence."""
    brain, _ = make_brain(tmp_path)
    logits, labels = torch.randn(3, 4), torch.tensor([2, -1, 0])
    brain.modules.eval()
    found = brain.cross_entropy(logits, labels)
    expected = brain.cross_entropy(logits[[0, 2]], labels[[0, 2]])
    torch.testing.assert_close(found, expected)
    nobody = brain.cross_entropy(logits, torch.full((3,), -1))
    assert float(nobody) == 0  # no mean of nothing, which is NaN
    brain.modules.train()
    with pytest.raises(IndexError):
        brain.cross_entropy(logits, labels)
