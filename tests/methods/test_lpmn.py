"""LPMN's Brains: what they refuse, what they are given, what they return."""

import logging

import pytest
import torch

from speechbrain.nnet.linear import Linear
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain_ser.lobes.codebook import Codebook
from speechbrain_ser.lobes.frame_pooling import make_pooling, pooled_size
from speechbrain_ser.lobes.importance import FisherImportance
from speechbrain_ser.lobes.logmel import LogMelEncoder
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.methods import lpmn
from speechbrain_ser.methods.lpmn import CodebookBrain, LPMNBrain
from speechbrain_ser.utils.errors import InputError

LABELS = ["ang", "hap", "sad", "neu"]
K, DIM = 6, 8


def make_lpmn(folder, pooling="lpmn", encoder=None, dim=DIM, **settings):
    """Makes a small LPMN for tones."""
    torch.manual_seed(0)
    codebook = Codebook(K, dim)
    modules = {
        "encoder": encoder or LogMelEncoder(n_mels=10, channels=dim),
        "norm": torch.nn.LayerNorm(dim, elementwise_affine=False),
        "pooling": make_pooling(pooling, codebook),
        "classifier": Linear(
            input_size=pooled_size(pooling, K, dim), n_neurons=len(LABELS)
        ),
    }
    if settings.get("valence_weight"):
        size = pooled_size(pooling, K, dim)
        modules["regressor"] = Linear(input_size=size, n_neurons=1)
    arguments = {
        "importance": FisherImportance(K),
        "augmenter": None,
        "frame_dim": dim,
        "labels": LABELS,
        "output_folder": str(folder),
        "batch_size": 4,
        "model_selection": "last",
        "modules": modules,
        "opt_class": lambda x: torch.optim.Adam(x, lr=0.01),
        "run_opts": {"device": "cpu", "noprogressbar": True},
    }
    return LPMNBrain(**arguments | settings)


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"quantization_weight": -1}, "--quantization_weight is -1"),
        ({"valence_weight": "much"}, "--valence_weight is 'much'"),
        ({"reseed_dead": "yes"}, "--reseed_dead is 'yes'.*True or False"),
        ({"frame_dim": 9}, "frame_dim is 9.*8 channels: set --frame_dim 8"),
        ({"cache": True, "augmenter": object()}, "can't be augmented"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_unfit_arguments_are_refused(settings, said, tmp_path):
    """Also of who calls from Python."""
    with pytest.raises(InputError, match=said):
        make_lpmn(tmp_path, **settings)


def test_what_is_refused_before_anything_is_built(tmp_path):
    """A codebook that is missing, an augmenter beside the cache."""
    check = LPMNBrain.check_arguments
    missing = str(tmp_path / "codebook.ckpt")
    for brain in (CodebookBrain, LPMNBrain):
        with pytest.raises(InputError, match=f"no codebook {missing}"):
            brain.check_arguments({"codebook_file": missing})
    with pytest.raises(InputError, match="can't be augmented"):
        check({"cache": True})  # an object is no plain argument
    check({"cache": True, "augmenter": None})
    check({"cache": False})
    CodebookBrain.check_arguments({"cache": True})


def test_valence_wants_an_utterance_that_has_one(tones):
    """Nothing is said where it has no weight."""
    parts = {"train": tones}
    LPMNBrain.check_parts(parts, {"valence_weight": 0})
    with pytest.raises(InputError, match="has a valence.*--valence_weight 0"):
        LPMNBrain.check_parts(parts, {"valence_weight": 0.3})
    next(iter(tones.values()))["valence"] = 1.5
    LPMNBrain.check_parts(parts, {"valence_weight": 0.3})


@pytest.mark.parametrize("pooling", ["lpmn", "average", "max"])
def test_learns_tones(pooling, tones, tmp_path):
    """The loss falls; only with prototypes there is anything of them."""
    brain = make_lpmn(tmp_path, pooling)
    brain.set_parts({"train": tones, "test": tones})
    brain.fit(EpochCounter(4), brain.train_set)
    rows = brain.history.rows
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert ("quantization_loss" in rows[0]) == (pooling == "lpmn")
    assert ("perplexity" in rows[0]) == (pooling == "lpmn")
    assert bool(brain.importance.steps) == (pooling == "lpmn")


def test_collapse_is_said_once(tones, tmp_path, monkeypatch, caplog):
    """In the epoch in which it comes, with its mend; not without one."""
    brain = make_lpmn(tmp_path)
    assert brain.collapse(1, 1.0) is None  # of 6
    monkeypatch.setattr(lpmn, "SHARE_USED", 7 / 6)
    said = "only 6 of 6 prototypes are used, perplexity 5.5: Eq. 1's second"
    assert brain.collapse(6, 5.5).startswith(said)
    assert brain.collapse(6, 5.5).endswith("--commitment_weight than 1")
    brain.set_parts({"train": tones})
    speechbrain = logging.getLogger("speechbrain_ser.methods.lpmn")
    speechbrain.addHandler(caplog.handler)
    brain.fit(EpochCounter(3), brain.train_set)
    warned = [r for r in caplog.records if r.levelname == "WARNING"]
    (text,) = {r.getMessage() for r in warned if "prototypes" in r.getMessage()}
    used, perplexity = (brain.history.rows[0][name] for name in lpmn.USE)
    assert text == brain.collapse(used, perplexity)
    # where no block is trained, the second term draws nothing
    brain.modules.encoder.requires_grad_(False)
    assert brain.collapse(6, 5.5).endswith("or --reseed_dead True")


def test_prototypes_begin_as_frames_of_the_training_part(tones, tmp_path):
    """Each is a frame of an utterance."""
    brain = make_lpmn(tmp_path)
    brain.set_parts({"train": tones})
    brain.epochs = 1
    brain.on_fit_start()
    frames = torch.cat(brain.frames_of(brain.train_set, list(tones)))
    prototypes = brain.codebook.prototypes.detach()
    apart = (prototypes[:, None] - frames.detach()).abs().amax(dim=2)
    assert apart.min(dim=1).values.max() < 1e-5


def test_outputs_are_also_pooled_on_sets_of_prototypes(tones, tmp_path):
    """All of them give the embedding; some another softmax, not a choice."""
    brain = make_lpmn(tmp_path)
    brain.set_parts({"test": tones})
    plain = next(iter(brain.predict(brain.datasets["test"]).values()))
    assert not any(name.startswith("pooled") for name in plain)
    kept = torch.tensor([4, 1])
    brain.kept = {"all": None, "two": kept}
    for found in brain.predict(brain.datasets["test"]).values():
        assert torch.equal(found["pooled_all"], found["embedding"])
        assert found["pooled_two"].shape == (2,)
        assert not torch.allclose(found["pooled_two"], found["embedding"][kept])


def test_valence_is_given_where_it_is_learnt(tones, tmp_path):
    """Utterances without one count in no squared error."""
    entries = list(tones.values())
    for entry in entries[:6]:
        entry["valence"] = 1.0
    brain = make_lpmn(tmp_path, valence_weight=1.0, emotion_weight=0.0)
    brain.set_parts({"train": tones, "test": tones})
    brain.quantization_weight = 0.0
    brain.fit(EpochCounter(30), brain.train_set)
    losses = [row["train_loss"] for row in brain.history.rows]
    assert losses[-1] < 0.1 * losses[0]
    found = brain.predict(brain.datasets["test"]).values()
    assert all(p["valence"].shape == () for p in found)


def test_frames_are_kept_once(small_wav2vec2, tones, tmp_path):
    """What batches hold are the frozen blocks' frames of the parts."""
    encoder = SSLEncoder(small_wav2vec2, "unused", layer=3, frozen_layers=2)
    brain = make_lpmn(
        tmp_path,
        encoder=encoder,
        dim=encoder.dim,
        cache=True,
        cache_folder=str(tmp_path / "frames"),
    )
    brain.set_parts({"train": tones, "test": tones})
    assert len(list((tmp_path / "frames").rglob("*.npy"))) == len(tones)
    for held in (brain.train_set, brain.datasets["test"]):
        assert held[0]["sig"].shape[1] == encoder.dim
    brain.fit(EpochCounter(1), brain.train_set)


def test_codebook_learns_without_labels(tones, tmp_path):
    """By Eq. 1 alone; the encoder stays as it is."""
    torch.manual_seed(0)
    encoder = LogMelEncoder(n_mels=10, channels=DIM).requires_grad_(False)
    codebook = Codebook(3, DIM, commitment_weight=0.0)
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    brain = CodebookBrain(
        codebook,
        frame_dim=DIM,
        labels=[],
        output_folder=str(tmp_path),
        batch_size=4,
        model_selection="last",
        modules={
            "encoder": encoder.eval(),
            "norm": torch.nn.LayerNorm(DIM, elementwise_affine=False),
            "codebook": codebook,
        },
        opt_class=lambda x: torch.optim.Adam(x, lr=0.05),
        run_opts={"device": "cpu", "noprogressbar": True},
    )
    bare = {
        key: {name: entry[name] for name in ("wav", "duration")}
        for key, entry in tones.items()
    }
    brain.set_parts({"train": bare})
    brain.fit(EpochCounter(5), brain.train_set)
    rows = brain.history.rows
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    trained = {
        name
        for name, value in encoder.named_parameters()
        if not torch.equal(value, before[name])
    }
    assert trained == set()


@pytest.mark.parametrize("unlabelled", [3, 12])
def test_speech_without_labels_can_be_predicted(unlabelled, tones, tmp_path):
    """By a trained model, on other speech: each utterance as with its label."""
    brain = make_lpmn(tmp_path)
    brain.set_parts({"test": tones})
    labelled = brain.predict(brain.datasets["test"])
    for entry in list(tones.values())[:unlabelled]:
        entry["emotion"] = None
    brain.set_parts({"test": tones})
    found = brain.predict(brain.datasets["test"])
    assert found.keys() == labelled.keys()
    for key, prediction in found.items():
        expected = labelled[key]["posterior"]
        assert torch.equal(prediction["posterior"], expected)


def test_a_codebook_of_nan_is_refused(tones, tmp_path):
    """Before the first step, by its file."""
    path = tmp_path / "codebook.ckpt"
    torch.save({"prototypes": torch.full((K, DIM), torch.nan)}, path)
    brain = make_lpmn(tmp_path, codebook_file=str(path))
    brain.set_parts({"train": tones})
    with pytest.raises(InputError, match=f"{path} holds NaN.*learn it again"):
        brain.fit(EpochCounter(1), brain.train_set)


def test_no_emotion_is_learnt_with_a_weight_of_0():
    """The report is on emotions."""
    with pytest.raises(InputError, match="--emotion_weight is 0"):
        LPMNBrain.check_arguments({"emotion_weight": 0, "augmenter": None})
