"""The parts together: what each switch does, and who never trains."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import speechbrain as sb
from speechbrain_ser.evaluation.joint import JointReport
from speechbrain_ser.experiment.hparams import load, with_overrides
from speechbrain_ser.methods import joint
from speechbrain_ser.methods.joint import JointBrain, soft_cross_entropy
from speechbrain_ser.utils import waiting
from speechbrain_ser.utils.audio import place
from speechbrain_ser.utils.errors import InputError
from tests.recipes.helpers import ROOT
from tests.waits import waits_of

HPARAMS = str(ROOT / "recipes/AnyCorpus/hparams/joint_logmel.yaml")
LABELS = ["anger", "happiness", "neutral", "sadness"]
SMALL = {
    "labels": LABELS,
    "n_mels": 6,
    "frame_dim": 6,
    "n_prototypes": 3,
    "embedding_dim": 5,
    "n_speakers": 3,
    "number_of_epochs": 3,
    "batch_size": 8,
    "valid_trains": False,
    "model_selection": "last",
}


def corpus(speakers, n=12):
    """Utterances without audio, speakers and emotions in turn."""
    return {
        f"{speakers[0]}{i:02}": {
            "wav": f"{speakers[0]}{i:02}",
            "duration": 1.0,
            "emotion": LABELS[i % 4],
            "speaker": speakers[i // 4 % len(speakers)],
        }
        for i in range(n)
    }


def frames_of(entry):
    """Random frames, always the same, that tell the emotion."""
    seed = sum(map(ord, entry["wav"])) * 100 + int(entry["wav"][1:])
    generator = torch.Generator().manual_seed(seed)
    frames = torch.randn(9 + seed % 5, 6, generator=generator)
    frames[:, LABELS.index(entry["emotion"])] += 1
    return 5 * frames + 3


PARTS = {
    "train": corpus("ABC", 24),
    "valid": corpus("DE", 8),
    "test": corpus("FG", 8),
}


@pytest.fixture
def build(monkeypatch, tmp_path):
    """Makes the Brain as its recipe does, of made features."""

    def features(folder, encoder, annotations, *more):
        """Frames instead of a cache."""
        return {
            place(entry): frames_of(entry)
            for annotation in annotations
            for entry in annotation.values()
        }

    monkeypatch.setattr(joint, "cached_features", features)

    def made(parts=PARTS, folder=None, **settings):
        """The Brain with its parts."""
        folder = str(folder or tmp_path)
        settings = SMALL | {"output_folder": folder} | settings
        hparams = load(HPARAMS, with_overrides("", **settings))
        run_opts = sb.core.RunOptions.from_dictionary(
            {"device": "cpu", "noprogressbar": True}
        )
        brain = hparams["brain"](run_opts=run_opts, checkpointer=None)
        brain.built = hparams
        if parts is not None:
            brain.set_parts({k: dict(v) for k, v in parts.items()})
        return brain

    return made


def fit(brain):
    """Trains it."""
    brain.fit(
        brain.built["epoch_counter"], brain.train_set, brain.datasets["valid"]
    )
    return brain


def in_training(brain):
    """Sets it as it is in the third epoch, without chance; returns a batch."""
    loader = brain.make_dataloader(brain.train_set, sb.Stage.TRAIN)
    brain.epoch, brain.step, brain.epochs = 3, 1, 3
    brain.modules.eval()
    brain.modules.training = True
    return next(iter(loader))


def test_soft_cross_entropy_is_the_hard_one_of_one_hot_targets():
    """With and without class weights, and the gradients too."""
    logits = torch.randn(7, 4, requires_grad=True)
    labels = torch.arange(7) % 4
    hot = F.one_hot(labels, 4).float()
    for weight in (None, torch.tensor([0.3, 2.0, 1.0, 0.7])):
        ours = soft_cross_entropy(logits, hot, weight)
        theirs = F.cross_entropy(logits, labels, weight)
        torch.testing.assert_close(ours, theirs)
        (one,) = torch.autograd.grad(ours, logits)
        (other,) = torch.autograd.grad(theirs, logits)
        torch.testing.assert_close(one, other)


def test_mixup_mixes_vectors_and_classes_by_one_share(build):
    """Of pairs of the batch; its share is Beta's."""
    brain = build(mixup=0.4)
    vectors = torch.randn(6, 18)
    targets, speakers = torch.eye(6)[:, :4], torch.eye(6)[:, :3]
    torch.manual_seed(5)
    share = torch.distributions.Beta(0.4, 0.4).sample()
    other = torch.randperm(6)
    torch.manual_seed(5)
    found = joint.mixed(*brain.mixture(6), vectors, targets, speakers)
    for rows, whole in zip(found, (vectors, targets, speakers)):
        own = share * whole + (1 - share) * whole[other]
        torch.testing.assert_close(rows, own)
    assert not torch.equal(found[0], vectors)


@pytest.mark.parametrize("mixup", [0, 1.0])
def test_am_softmax_takes_the_margin_by_the_share(build, mixup):
    """s (cos - m t) of mixed targets t too; nothing when it is evaluated."""
    brain = build(mixup=mixup, margin=0.3, scale=7.0)
    batch = in_training(brain)
    found = brain.compute_forward(batch, sb.Stage.TRAIN)
    weight = brain.modules["classifier"].weight
    cosines = (
        F.normalize(found["embeddings"], dim=1) @ F.normalize(weight, dim=1).T
    )
    own = 7 * (cosines - 0.3 * found["targets"])
    torch.testing.assert_close(found["logits"], own)
    whole = brain.compute_forward(batch, sb.Stage.TEST)
    cosines = (
        F.normalize(whole["embeddings"], dim=1) @ F.normalize(weight, dim=1).T
    )
    torch.testing.assert_close(whole["logits"], 7 * cosines)


def test_the_adversary_reverses_what_reaches_the_projection(build):
    """Its own gradient is that of its loss, before it minus the scale's part."""
    gradients = {}
    for adversary in (0.0, 0.5):
        brain = build(adversary=adversary, mixup=0, seed=4)
        batch = in_training(brain)
        found = brain.compute_forward(batch, sb.Stage.TRAIN)
        loss = brain.compute_objectives(found, batch, sb.Stage.TRAIN)
        loss.backward()
        gradients[adversary] = brain
    plain, against = gradients[0.0], gradients[0.5]
    weight = plain.modules["projection"][1].weight
    other = against.modules["projection"][1].weight
    assert torch.equal(weight, other)
    # the speaker's loss by itself, with the same weights
    against.modules.zero_grad(set_to_none=False)
    own = {k: v.grad for k, v in plain.modules.named_parameters()}
    embeddings = against.modules["projection"](batch.sig.data)
    logits = against.modules["speaker_classifier"](embeddings)
    F.cross_entropy(logits, batch.speaker).backward()
    scale = against.ramp(against.done())
    assert 0 < scale < 0.5
    found = build(adversary=0.5, mixup=0, seed=4)
    in_training(found)
    predictions = found.compute_forward(batch, sb.Stage.TRAIN)
    found.compute_objectives(predictions, batch, sb.Stage.TRAIN).backward()
    torch.testing.assert_close(
        found.modules["projection"][1].weight.grad,
        own["projection.1.weight"] - scale * other.grad,
    )
    speaker = found.modules["speaker_classifier"].weight.grad
    torch.testing.assert_close(
        speaker, against.modules["speaker_classifier"].weight.grad
    )


def test_who_is_tested_decides_nothing(build):
    """Other test speech, the same weights and statistics, bit by bit."""
    states = []
    for n in (8, 12):
        brain = fit(build(PARTS | {"test": corpus("HG", n)}))
        states.append(
            brain.modules.state_dict()
            | {f"p.{k}": v for k, v in brain.pooling.state_dict().items()}
            | {f"s.{k}": v for k, v in brain.standardisation.named_buffers()}
        )
    assert states[0].keys() == states[1].keys()
    for name in states[0]:
        assert torch.equal(states[0][name], states[1][name]), name


@pytest.mark.parametrize("valid_trains", [False, True])
def test_validating_speakers_train_if_that_is_asked_for(build, valid_trains):
    """Their frames too; the report says so, and fits no temperature on them."""
    n_speakers = 5 if valid_trains else 3
    brain = build(valid_trains=valid_trains, n_speakers=n_speakers)
    names = {*PARTS["train"], *(PARTS["valid"] if valid_trains else ())}
    assert set(brain.train_set.data_ids) == names
    trained = [
        frames_of(entry).double()
        for part in PARTS.values()
        for key, entry in part.items()
        if key in names
    ]
    torch.testing.assert_close(
        brain.frame_standardisation.mean.double(), torch.cat(trained).mean(0)
    )
    report = JointReport(fit(brain), brain.output_folder)
    held = {"valid": brain.predict(brain.datasets["valid"])}
    known = report.fit_temperature(held)
    assert (known["temperature"] is None) == valid_trains
    assert ("valid" in report.findings()["trained_on"]) == valid_trains


def test_it_learns_what_the_frames_tell(build):
    """Of speakers that it never heard, by either pooling and loss."""
    for settings in (
        {},
        {"loss": "cross_entropy", "mixup": 0, "adversary": 0.2},
        {"pooling": "average"},
    ):
        brain = fit(build(number_of_epochs=25, lr=0.01, **settings))
        scores = brain.score(brain.predict(brain.datasets["test"]))
        assert scores["UA"] >= 0.75, settings


def test_vectors_of_other_speech_are_by_the_loaded_prototypes(build):
    """Where nothing trains, what a checkpoint holds counts."""
    trained = build()
    alone = build({"test": PARTS["test"]})
    for module in ("pooling", "frame_standardisation", "standardisation"):
        getattr(alone, module).load_state_dict(
            getattr(trained, module).state_dict()
        )
    alone.load_selected()
    for key, entry in PARTS["test"].items():
        assert torch.equal(alone.reader(entry), trained.reader(entry)), key


def test_each_speaker_by_himself(build):
    """The vectors of each have zero mean and unit variance."""
    brain = build(standardise_by="speaker")
    for part in PARTS.values():
        for name in {entry["speaker"] for entry in part.values()}:
            own = [e for e in part.values() if e["speaker"] == name]
            held = torch.cat([brain.reader(entry) for entry in own])
            np.testing.assert_allclose(held.mean(0), 0, atol=1e-4)


def test_bad_settings_are_refused():
    """Before anything is read."""
    chosen = {"valid_trains": True, "model_selection": "best"}
    with pytest.raises(InputError, match="--valid_trains True leaves nobody"):
        JointBrain.check_arguments(chosen)
    one = {"train": corpus("A")}
    settings = {"adversary": 0.1, "valid_trains": False}
    settings["model_selection"] = "last"
    with pytest.raises(InputError, match="two speakers or more"):
        JointBrain.check_parts(one, settings)
    JointBrain.check_parts(one, settings | {"adversary": 0})


def test_accumulated_gradients_are_those_of_a_large_batch(build):
    """With an adversary too; mixup takes two of one batch, which is said."""
    from tests.test_stepping import ends_alike, sgd

    def make(size):
        """A Brain of such batches."""
        settings = {"mixup": 0, "adversary": 0.5, "class_weights": "none"}
        return sgd(build(batch_size=size, **settings))

    assert ends_alike(make, 8, 2)
    assert "mixup" in build(mixup=1.0).accumulation_note()


@pytest.mark.parametrize("adversary, mixup", [(0, 0), (0.1, 1.0)])
def test_a_step_does_not_wait_for_a_gpu(adversary, mixup, build, monkeypatch):
    """Nor with what is mixed and what is reversed."""
    monkeypatch.setattr(waiting, "AT_ONCE", set())
    brain = build(adversary=adversary, mixup=mixup)
    assert waits_of(brain, monkeypatch) == []
