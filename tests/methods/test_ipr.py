"""IPR's Brain: its loss is Eq. 6 with Eq. 7's weight, term by term."""

import types

import pytest
import speechbrain as sb
import torch

from speechbrain_ser.data.dataset import UNLABELLED
from speechbrain_ser.lobes.logmel import LogMelEncoder
from speechbrain_ser.lobes.pooling import StatisticsPooling
from speechbrain_ser.lobes.prototypes import PrototypeBank
from speechbrain_ser.losses import PrototypeContrastiveLoss
from speechbrain_ser.methods.ipr import IPRBrain
from speechbrain_ser.schedules import PseudoLabelWeight
from speechbrain_ser.utils.errors import InputError
from tests.references import ipr as reference

LABELS = ["ang", "hap", "sad", "neu"]
DIM = 8


def make_brain(folder, **settings):
    """A small Brain whose second epoch is after the warm-up."""
    torch.manual_seed(0)
    modules = {
        "encoder": LogMelEncoder(channels=DIM, strides=(2, 2)),
        "pooling": StatisticsPooling("mean"),
        "classifier": torch.nn.Linear(DIM, 4),
        "prototypes": PrototypeBank(4, DIM, gamma=0.9, temperature=0.2),
    }
    settings = {
        "system": "ipr",
        "warmup_epochs": 1,
        "warmup_updates": 0,
        "embedding_dim": DIM,
        "alpha": 0.7,
        "mu": 0.3,
        "pseudo_label_weight": PseudoLabelWeight(10, maximum=0.5, growth=10.0),
        "contrastive_loss": PrototypeContrastiveLoss(temperature=0.4),
        "augmenter": None,
    } | settings
    brain = IPRBrain(
        labels=LABELS,
        output_folder=str(folder),
        batch_size=4,
        modules=modules,
        opt_class=torch.optim.SGD,
        run_opts={"device": "cpu"},
        **settings,
    )
    brain.warmup = 1
    brain.epoch = 4
    brain.modules.train()
    return brain


@pytest.fixture
def outputs():
    """What a forward pass gives of three precise and five other utterances."""
    torch.manual_seed(1)
    labels = torch.tensor([2, 0, 1] + [UNLABELLED] * 5)
    drawn = {
        "logits": torch.randn(8, 4),
        "embeddings": torch.randn(8, DIM),
        "copy_logits": torch.randn(5, 4),
        "copy_embeddings": torch.randn(5, DIM),
    }
    return drawn, types.SimpleNamespace(label=labels)


@pytest.mark.parametrize("pseudo_label", ["hard", "soft"])
@pytest.mark.parametrize("view", ["plain", "augmented", "both"])
def test_the_loss_is_eq_6(pseudo_label, view, outputs, tmp_path):
    """Against the paper's reference, each weight of its own."""
    drawn, batch = outputs
    brain = make_brain(
        tmp_path, pseudo_label=pseudo_label, pseudo_label_view=view
    )
    prototypes = torch.nn.functional.normalize(torch.randn(4, DIM), dim=1)
    brain.modules.prototypes.prototypes.copy_(prototypes)
    found = brain.compute_objectives(drawn, batch, sb.Stage.TRAIN)
    logits, k, copy, copy_k, held = (
        x.double().numpy()
        for x in (
            drawn["logits"],
            drawn["embeddings"][3:],
            drawn["copy_logits"],
            drawn["copy_embeddings"],
            prototypes,
        )
    )
    hard = reference.hard_labels(k, held)
    target = hard
    if pseudo_label == "soft":
        target = reference.soft_labels(k, held, 0.2)
    views = {"plain": [logits[3:]], "augmented": [copy]}
    views["both"] = [logits[3:], copy]
    pseudo = [reference.cross_entropy(v, target) for v in views[view]]
    expected = reference.total_loss(
        reference.cross_entropy(logits[:3], batch.label[:3].numpy()),
        sum(pseudo) / len(pseudo),
        reference.contrastive_loss(
            k, copy_k, hard, reference.hard_labels(copy_k, held), 0.4
        ),
        alpha=0.7,
        beta=reference.pseudo_label_weight(3, 10, 0.5, 10.0),
        mu=0.3,
    )
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_warm_up_learns_from_d1_alone(outputs, tmp_path):
    """Before it ends Eq. 6 has its first term."""
    drawn, batch = outputs
    brain = make_brain(tmp_path)
    brain.epoch = 1
    found = brain.compute_objectives(drawn, batch, sb.Stage.TRAIN)
    expected = 0.7 * reference.cross_entropy(
        drawn["logits"][:3].numpy(), batch.label[:3].numpy()
    )
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_baseline_plus_learns_its_own_soft_labels(outputs, tmp_path):
    """Of the plain view, for the copy: the plain one gets no gradient."""
    drawn, batch = outputs
    brain = make_brain(tmp_path, system="baseline_plus")
    drawn["logits"].requires_grad_()
    found = brain.compute_objectives(drawn, batch, sb.Stage.TRAIN)
    own = torch.softmax(drawn["logits"][3:].detach(), dim=1)
    expected = 0.7 * reference.cross_entropy(
        drawn["logits"][:3].detach().numpy(), batch.label[:3].numpy()
    ) + reference.pseudo_label_weight(3, 10, 0.5, 10.0) * (
        reference.cross_entropy(drawn["copy_logits"].numpy(), own.numpy())
    )
    assert float(found.detach()) == pytest.approx(expected, rel=1e-5)
    found.backward()
    assert (drawn["logits"].grad[3:] == 0).all()
    assert (drawn["logits"].grad[:3] != 0).any()


def test_only_agreed_pseudo_labels_are_used(outputs, tmp_path):
    """Where the classifier names the prototypes' class, and it is noted."""
    drawn, batch = outputs
    brain = make_brain(tmp_path, pseudo_label_filter="agreed", mu=0)
    prototypes = torch.nn.functional.normalize(torch.randn(4, DIM), dim=1)
    brain.modules.prototypes.prototypes.copy_(prototypes)
    found = brain.compute_objectives(drawn, batch, sb.Stage.TRAIN)
    hard = reference.hard_labels(
        drawn["embeddings"][3:].numpy(), prototypes.numpy()
    )
    used = drawn["logits"][3:].argmax(dim=1).numpy() == hard
    assert 0 < used.sum() < len(used)
    logits = drawn["logits"].numpy()
    expected = 0.7 * reference.cross_entropy(
        logits[:3], batch.label[:3].numpy()
    ) + reference.pseudo_label_weight(3, 10, 0.5, 10.0) * (
        reference.cross_entropy(logits[3:][used], hard[used])
    )
    assert float(found) == pytest.approx(expected, rel=1e-5)
    means = brain.history.means()
    assert means["pseudo_labels_used"] == pytest.approx(used.mean())


def test_parts_that_a_system_needs(tmp_path):
    """Unlabelled speech where it learns from it; a valid part for the best."""
    needed = IPRBrain.needs({"system": "ipr", "model_selection": "last"})
    assert set(needed) == {"unlabelled"}
    needed = IPRBrain.needs({"system": "baseline", "model_selection": "best"})
    assert set(needed) == {"valid"}
    with pytest.raises(InputError, match="--system is 'magic'"):
        make_brain(tmp_path, system="magic")
    with pytest.raises(InputError, match="embedding_dim is 9.*pooling give 8"):
        make_brain(tmp_path, embedding_dim=9)
