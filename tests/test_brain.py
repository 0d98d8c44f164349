"""What all recipes share: losses, optimizers, evaluation, selection."""

import json
import logging
import types

import numpy as np
import pytest
import speechbrain as sb
import torch
from speechbrain.utils.epoch_loop import EpochCounter

from speechbrain_ser.brain import SERBrain
from speechbrain_ser.checkpoints import AtomicCheckpointer
from speechbrain_ser.dataio import class_weights, make_dataset
from speechbrain_ser.errors import InputError
from speechbrain_ser.lobes.logmel import LogMelEncoder
from speechbrain_ser.lobes.pooling import StatisticsPooling
from speechbrain_ser.probing import speaker_probe
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
        run_opts={"device": "cpu", "noprogressbar": True},
        **settings,
    )
    return brain, counter


def test_metrics_are_written_last(tmp_path, tones, monkeypatch):
    """A run that dies while it draws has no metrics, so it is not done."""
    brain, counter = make_brain(tmp_path, epochs=1)
    data = make_dataset(tones, LABELS)
    brain.fit(counter, data, data)

    def die(*_, **__):
        """Stands in for SIGKILL."""
        raise KeyboardInterrupt

    monkeypatch.setattr(brain, "draw_embedding", die)
    with pytest.raises(KeyboardInterrupt):
        brain.report({"evaluation": data}, {}, "title")
    assert not (tmp_path / "metrics.json").exists()
    monkeypatch.undo()
    brain.report({"evaluation": data}, {"run": "key"}, "title")
    assert json.loads((tmp_path / "metrics.json").read_text())["run"] == "key"


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


def test_report_holds_each_speaker_and_intervals(tmp_path, tones):
    """Their confusions sum to the whole; without speakers utterances count."""
    for i, entry in enumerate(tones.values()):
        entry["speaker"] = f"speaker{i % 3}"
    brain, counter = make_brain(tmp_path, epochs=1)
    data = make_dataset(tones, LABELS)
    brain.fit(counter, data, data)
    score = brain.full_score(brain.predict(data))
    summed = np.sum(list(score["speakers"].values()), axis=0)
    assert summed.tolist() == score["confusion"] and summed.sum() == 12
    assert sorted(score["speakers"]) == ["speaker0", "speaker1", "speaker2"]
    assert score["interval"]["over"] == "speakers"
    assert score["interval"]["units"] == 3
    low, high = score["interval"]["UA"]
    assert 0 <= low <= score["UA"] <= high <= 1
    for entry in tones.values():
        del entry["speaker"]
    data = make_dataset(tones, LABELS)
    score = brain.full_score(brain.predict(data))
    assert score["speakers"] is None
    assert score["interval"]["over"] == "utterances"
    assert score["interval"]["units"] == 12


def test_report_says_how_much_speaker_is_left(
    tmp_path, tones, monkeypatch, capsys
):
    """Of the training part alone; without its copies of another speed."""
    for i, entry in enumerate(tones.values()):
        entry["speaker"] = f"speaker{i % 3}"
    train = dict(list(tones.items())[:9])
    own = make_dataset(train, LABELS)
    for i, entry in enumerate(list(train.values())):
        train[f"copy{i}"] = entry | {"speed": 0.9}
    train["nobody"] = tones["tone0"] | {"speaker": None}
    parts = {
        "train": make_dataset(train, LABELS),
        "evaluation": make_dataset(dict(list(tones.items())[9:]), LABELS),
    }
    monkeypatch.setattr(PlainBrain, "draw_figures", lambda *_: None)
    brain, _ = make_brain(tmp_path / "on", speaker_probe=True)
    brain.report(parts, {}, "title")
    found = json.loads((tmp_path / "on" / "metrics.json").read_text())
    held = brain.predict(own).values()
    expected = speaker_probe(
        np.array([p["embedding"].tolist() for p in held], dtype=np.float32),
        [p["entry"]["speaker"] for p in held],
    )
    assert found["leakage"] == brain.leakage == expected
    assert expected["utterances"] == 9 and expected["speakers"] == 3
    brain.leakage |= {
        "accuracy": 0.4096,
        "nonlinear_accuracy": 0.5,
        "chance": 1,
    }
    capsys.readouterr()
    brain.print_leakage()
    assert capsys.readouterr().out == (
        "a fresh probe names the speaker of 41.0 % of the training utterances "
        "(non-linear 50.0 %, chance 100.0 %, 3 speakers)\n"
    )
    brain, _ = make_brain(tmp_path / "off")
    brain.report(parts, {}, "title")
    written = json.loads((tmp_path / "off" / "metrics.json").read_text())
    assert set(found) - set(written) == {"leakage"}
    assert "probe" not in capsys.readouterr().out


def test_leakage_is_there_for_figures(tmp_path, tones, monkeypatch, capsys):
    """And one line of it on the screen."""
    for i, entry in enumerate(tones.values()):
        entry["speaker"] = f"speaker{i % 2}"
    brain, _ = make_brain(tmp_path, speaker_probe=True)
    drawn = []
    monkeypatch.setattr(
        brain, "draw_figures", lambda *_: drawn.append(brain.leakage)
    )
    brain.probed_parts = ("precise", "ambiguous")
    names = list(tones)
    parts = {
        part: make_dataset({key: tones[key] for key in keys}, LABELS)
        for part, keys in (
            ("precise", names[:5]),
            ("ambiguous", names[5:9]),
            ("evaluation", names[9:]),
        )
    }
    brain.report(parts, {}, "title")
    assert drawn == [brain.leakage] and drawn[0]["utterances"] == 9
    assert capsys.readouterr().out.count("a fresh probe names") == 1


@pytest.mark.parametrize(
    ("speakers", "reason"),
    [
        ([None] * 12, "no training utterance names its speaker"),
        (["one"] * 12, "fewer than two speakers"),
        (["one"] * 11 + ["other"], "fewer than two speakers"),
    ],
)
def test_why_there_is_no_probe(
    speakers, reason, tmp_path, tones, monkeypatch, capsys, caplog
):
    """metrics.json says null, the log says why."""
    for entry, speaker in zip(tones.values(), speakers):
        entry["speaker"] = speaker
    monkeypatch.setattr(PlainBrain, "draw_figures", lambda *_: None)
    brain, _ = make_brain(tmp_path, speaker_probe=True)
    with caplog.at_level(logging.INFO, logger="speechbrain_ser.brain"):
        brain.report({"train": make_dataset(tones, LABELS)}, {}, "title")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert "leakage" in metrics and metrics["leakage"] is None
    (line,) = [r.message for r in caplog.records if "probe" in r.message]
    assert reason in line
    assert "a fresh probe" not in capsys.readouterr().out


@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_equals_reference(tmp_path, weighted):
    """With and without class weights; for soft labels too."""
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0]) if weighted else None
    brain, _ = make_brain(tmp_path, class_weights=weights)
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


def test_best_epoch_is_that_of_the_validation_part(tmp_path, tones):
    """And the history stays whole when its weights are loaded."""
    brain, counter = make_brain(tmp_path, epochs=4)
    data = make_dataset(tones, LABELS)
    brain.fit(counter, data, data)
    scores = [row["valid_UA"] for row in brain.history.rows]
    best = max(range(4), key=lambda i: (scores[i], i)) + 1
    assert scores[brain.load_selected() - 1] == scores[best - 1] == max(scores)
    assert len(brain.history.rows) == 4


def test_neither_a_worse_epoch_nor_the_watched_part_is_chosen(tmp_path, tones):
    """Scores by hand: the second epoch is best, the last one when tested."""
    data = make_dataset(tones, LABELS)
    brain, counter = make_brain(
        tmp_path, epochs=4, watched=data, watched_epochs=4
    )

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


def test_watched_part_chooses_nothing(tmp_path, tones):
    """Its scores are kept for the last epochs; the weights don't care."""
    data = make_dataset(tones, LABELS)
    states = []
    for name, watched in (("with", data), ("without", None)):
        brain, counter = make_brain(
            tmp_path / name, epochs=3, watched=watched, watched_epochs=2
        )
        brain.fit(counter, data, data)
        states.append(brain.modules.state_dict())
        if watched is not None:
            mean = brain.watched_mean()
            kept = [r["UA"] for r in brain.history.notes["watched"]]
            assert mean["epochs"] == [2, 3]
            assert mean["UA"]["mean"] == pytest.approx(np.mean(kept))
        else:
            assert brain.watched_mean() is None
    for one, other in zip(*(s.values() for s in states)):
        assert torch.equal(one, other)


def test_best_needs_a_validation_part(tmp_path, tones):
    """Said before training."""
    brain, counter = make_brain(tmp_path)
    with pytest.raises(InputError, match="validation part.*last"):
        brain.fit(counter, make_dataset(tones, LABELS))
    with pytest.raises(InputError, match="'worst'.*best, last"):
        make_brain(tmp_path, selection="worst")


def test_last_epoch_needs_none(tmp_path, tones):
    """No validation part: rows and checkpoints all the same."""
    brain, counter = make_brain(tmp_path, selection="last")
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
