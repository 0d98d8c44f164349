"""IPR's Brain: its loss is Eq. 6 with Eq. 7's weight, term by term."""

import types

import pytest
import torch

import speechbrain as sb
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain_ser.data.dataset import UNLABELLED
from speechbrain_ser.evaluation.ipr import IPRReport
from speechbrain_ser.lobes.logmel import LogMelEncoder
from speechbrain_ser.lobes.pooling import StatisticsPooling
from speechbrain_ser.lobes.prototypes import PrototypeBank
from speechbrain_ser.losses import PrototypeContrastiveLoss
from speechbrain_ser.methods.ipr import IPRBrain
from speechbrain_ser.schedules import PseudoLabelWeight
from speechbrain_ser.utils.checkpoints import AtomicCheckpointer
from speechbrain_ser.utils.errors import InputError
from tests.data.test_augmentation import make_augmenter
from tests.references import ipr as reference

LABELS = ["ang", "hap", "sad", "neu"]
DIM = 8


def make_brain(folder, debug=False, **settings):
    """A small Brain whose second epoch is after the warm-up."""
    torch.manual_seed(0)
    modules = {
        "encoder": LogMelEncoder(channels=DIM, strides=(2, 2)),
        "pooling": StatisticsPooling("mean"),
        "classifier": torch.nn.Linear(DIM, 4),
        "prototypes": PrototypeBank(
            4,
            DIM,
            gamma=0.9,
            temperature=0.2,
            center=settings.pop("center", "none"),
        ),
    }
    settings = {
        "system": "ipr",
        "number_of_epochs": 10,
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
        opt_class=lambda params, lr=0.01: torch.optim.SGD(params, lr=lr),
        run_opts={"device": "cpu", "noprogressbar": True, "debug": debug},
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


# Batches, the warm-up and the chosen epoch


def test_a_batch_without_d1_is_no_zero_loss(outputs, tmp_path):
    """Means are over the utterances that a loss is of, of each kind."""
    drawn, batch = outputs
    brain = make_brain(tmp_path)
    brain.modules.prototypes.initialize(
        torch.randn(8, DIM), torch.arange(8) % 4
    )

    def part(precise, ambiguous):
        """Some of the utterances, as a batch of its own."""
        rows = torch.tensor([*precise, *(3 + i for i in ambiguous)]).long()
        copies = torch.tensor(ambiguous).long()
        chosen = {
            name: value[copies if name.startswith("copy") else rows]
            for name, value in drawn.items()
        }
        return chosen, types.SimpleNamespace(label=batch.label[rows])

    def expected(precise):
        """The mean of these utterances' cross entropy."""
        return reference.cross_entropy(
            drawn["logits"][precise].numpy(), batch.label[precise].numpy()
        )

    for rows in (([0, 1, 2], []), ([], [0, 1, 2, 3, 4])):
        brain.compute_objectives(*part(*rows), sb.Stage.TRAIN)
    alone = brain.history.means()
    assert alone["precise_loss"] == pytest.approx(expected([0, 1, 2]))
    assert alone["contrastive_loss"] > 0.5 and alone["pseudo_loss"] > 0.5
    for rows in (([0], []), ([1, 2], [0, 1]), ([], [2, 3, 4])):
        brain.compute_objectives(*part(*rows), sb.Stage.TRAIN)
    found = brain.history.means()
    assert found["precise_loss"] == pytest.approx(expected([0, 1, 2]))
    assert found["pseudo_loss"] == pytest.approx(alone["pseudo_loss"])
    assert found["pseudo_labels_used"] == 1


def test_without_agreed_labels_there_is_no_pseudo_loss(outputs, tmp_path):
    """An epoch in which none was used has no number, not a zero."""
    drawn, batch = outputs
    brain = make_brain(tmp_path, pseudo_label_filter="agreed")
    brain.modules.prototypes.initialize(
        torch.randn(8, DIM), torch.arange(8) % 4
    )
    named = brain.modules.prototypes.pseudo_label(drawn["embeddings"])
    drawn["logits"] = torch.eye(4)[(named + 1) % 4]
    brain.compute_objectives(drawn, batch, sb.Stage.TRAIN)
    found = brain.history.means()
    assert found["pseudo_labels_used"] == 0 and "pseudo_loss" not in found


def test_contrastive_views_are_centred_too(outputs, tmp_path):
    """As those that are labelled: a common shift of D2 changes nothing."""
    drawn, batch = outputs
    losses = []
    for shift in (0.0, 7.0):
        brain = make_brain(tmp_path, center="domain")
        bank = brain.modules.prototypes
        torch.manual_seed(2)
        bank.initialize(torch.randn(8, DIM), torch.arange(8) % 4)
        moved = dict(drawn)
        for name in ("embeddings", "copy_embeddings"):
            moved[name] = drawn[name] + shift
        bank.means.means[1] = shift
        losses.append(brain.compute_objectives(moved, batch, sb.Stage.TRAIN))
    torch.testing.assert_close(losses[0], losses[1])


SETTINGS = {
    "system": "ipr",
    "number_of_epochs": 5,
    "warmup_epochs": 4,
    "warmup_updates": 0,
    "batch_size": 8,
}
TWENTY = {"train": dict.fromkeys(range(20))}


@pytest.mark.parametrize("system", ["ipr", "baseline_plus"])
@pytest.mark.parametrize(
    "settings, said",
    [
        ({"warmup_epochs": 5}, "warmup_epochs 5 of --number_of_epochs 5 it ne"),
        ({"warmup_epochs": 9}, "warmup_epochs 9 of --number_of_epochs 5 it ne"),
        (
            {"warmup_updates": 13},
            "13, which are 5 epochs of D1's 20 .* --number_of_epochs 5 it neve",
        ),
        ({"precise_per_batch": 8}, "per_batch 8 .*--batch_size 8: .*less"),
        (
            {"precise_per_batch": 21, "batch_size": 64},
            "per_batch 21 takes 21 utterances of D1 at once, but D1 has 20",
        ),
        (
            {"precise_per_batch": 6, "grad_accumulation_factor": 4},
            "batch 6 takes 24 .* 20: give less, or .* --grad_accumulation_fact",
        ),
        (
            {"warmup_updates": 5, "grad_accumulation_factor": 4},
            "--warmup_updates 5, which are 5 epochs of D1's 20 utterances",
        ),
    ],
)
def test_what_never_meets_d2_is_refused(system, settings, said):
    """With the numbers; a system that needs no D2 is left alone."""
    settings = SETTINGS | settings
    for name, fit in ((system, False), ("baseline", True)):
        held = settings | {"system": name}
        if fit:
            IPRBrain.check_arguments(held)
            IPRBrain.check_parts(TWENTY, held)
            continue
        with pytest.raises(InputError, match=f"^--.*{said}") as error:
            IPRBrain.check_arguments(held)
            IPRBrain.check_parts(TWENTY, held)
        assert "\n" not in str(error.value)


def test_a_warm_up_that_just_ends_is_taken():
    """One epoch is left: 12 updates are four epochs of 20 in eights."""
    for more in ({}, {"warmup_epochs": 0, "warmup_updates": 12}):
        IPRBrain.check_arguments(SETTINGS | more)
        IPRBrain.check_parts(TWENTY, SETTINGS | more)


@pytest.mark.parametrize("epochs, warmup", [(50, 1), (2, 1), (1, 0)])
def test_a_trial_has_an_end_of_the_warm_up(epochs, warmup, tones, tmp_path):
    """--debug runs two epochs: D2 joins in its last one."""
    brain = make_brain(
        tmp_path, debug=True, number_of_epochs=epochs, warmup_epochs=epochs - 1
    )
    brain.set_parts({"train": tones, "unlabelled": tones})
    assert brain.warmup == warmup


def unchanged(wavs, lengths):
    """An augmenter that does nothing."""
    return wavs, lengths


def trained(folder, tones, augmenter=unchanged, **settings):
    """A Brain that went through four epochs of tones; it keeps checkpoints."""
    counter = EpochCounter(4)
    settings = {"number_of_epochs": 4, "warmup_epochs": 2} | settings
    brain = make_brain(
        folder, checkpointer=AtomicCheckpointer(folder / "save"), **settings
    )
    for name, module in brain.modules.items():
        brain.checkpointer.add_recoverable(name, module)
    brain.checkpointer.add_recoverable("counter", counter)
    brain.augmenter = augmenter
    half, other = dict(list(tones.items())[:8]), dict(list(tones.items())[8:])
    brain.set_parts({"train": half, "valid": half, "unlabelled": other})
    return brain, counter


@pytest.mark.parametrize("system", ["ipr", "baseline_plus"])
def test_workers_make_the_copies(system, tones, tmp_path, monkeypatch):
    """From the end of the warm-up on, other ones each epoch: the same run."""
    seen = {}
    for workers in (0, 2):
        brain, counter = trained(
            tmp_path / str(workers),
            tones,
            make_augmenter(),
            system=system,
            num_workers=workers,
        )
        held = seen[workers] = {}
        forward = brain.compute_forward

        def keep(batch, stage, brain=brain, held=held, forward=forward):
            """Notes what of a training batch are copies."""
            if stage == sb.Stage.TRAIN:
                copies = batch.copy.data.clone() if brain.joined else None
                held.setdefault(brain.epoch, []).append(copies)
            return forward(batch, stage)

        monkeypatch.setattr(brain, "compute_forward", keep)
        brain.fit(counter, brain.train_set, brain.datasets["valid"])
        held["weights"] = list(brain.modules.state_dict().values())
        held["losses"] = [row["train_loss"] for row in brain.history.rows]
    here, there = seen.values()
    assert here["losses"] == there["losses"]
    assert all(map(torch.equal, here["weights"], there["weights"]))
    assert all(copies is None for n in (1, 2) for copies in here[1] + here[2])
    assert len(here[3]) == len(here[4]) > 1
    for epoch in (3, 4):
        assert all(map(torch.equal, here[epoch], there[epoch]))
    shortest = min(len(here[3][0][0]), len(here[4][0][0]))
    assert not here[3][0][:, :shortest].equal(here[4][0][:, :shortest])


@pytest.mark.parametrize(
    "system, first", [("ipr", 3), ("baseline_plus", 3), ("baseline", 1)]
)
def test_the_epoch_is_chosen_after_the_warm_up(
    system, first, tones, tmp_path, monkeypatch
):
    """Though the best one by far lies in it; the report says from where."""
    brain, counter = trained(tmp_path, tones, system=system)
    scores = iter([0.9, 0.8, 0.1, 0.2])

    def score(dataset):
        """A valid part that likes the warm-up."""
        return {"UA": next(scores)}

    monkeypatch.setattr(brain, "validation_scores", score)
    brain.fit(counter, brain.train_set, brain.datasets["valid"])
    rows = brain.history.rows
    assert [row["valid_UA"] for row in rows] == [0.9, 0.8, 0.1, 0.2]
    assert brain.load_selected() == {3: 4, 1: 1}[first]
    found = IPRReport(brain, str(tmp_path)).findings()
    known = {"warmup_epochs": 2, "first_selectable_epoch": first}
    if system != "baseline":  # which has no D2 to gain by
        known["warmup_end"] = {"epoch": 2, "valid": 0.8}
    assert found == known


def test_the_last_epoch_is_the_only_one_where_it_is_asked_for(tones, tmp_path):
    """model_selection last: nothing is chosen."""
    brain, _ = trained(tmp_path, tones, model_selection="last")
    found = IPRReport(brain, str(tmp_path)).findings()
    assert found["first_selectable_epoch"] == 4


@pytest.mark.parametrize("center", ["none", "all", "domain"])
def test_without_a_warm_up_prototypes_are_class_means(center, tones, tmp_path):
    """Of the untrained encoder, before the first batch; D2's mean too."""
    brain, counter = trained(tmp_path, tones, warmup_epochs=0, center=center)
    seen = []

    def watch(batch, should_step):
        """Keeps what the first batch finds."""
        if not seen:
            bank = brain.modules.prototypes
            seen.extend(value.clone() for value in bank.state_dict().values())

    brain.on_fit_batch_start = watch
    fresh, _ = trained(tmp_path / "fresh", tones, center=center)
    brain.fit(counter, brain.train_set, brain.datasets["valid"])

    def embeddings(part):
        """Of the untrained encoder."""
        held = fresh.predict(fresh.datasets[part]).values()
        words = [LABELS.index(p["entry"]["emotion"]) for p in held]
        return torch.stack([p["embedding"] for p in held]), words

    precise, labels = embeddings("train")
    ambiguous, _ = embeddings("unlabelled")
    means = {
        "none": [],
        "all": [torch.cat([precise, ambiguous]).mean(dim=0, keepdim=True)],
        "domain": [torch.stack([precise.mean(dim=0), ambiguous.mean(dim=0)])],
    }[center]
    for mean in means:
        torch.testing.assert_close(seen[1], mean)
        precise = precise - mean[0]
    expected = reference.class_prototypes(
        precise.double().numpy(), labels, len(LABELS)
    )
    torch.testing.assert_close(seen[0], torch.tensor(expected).float())


def test_each_part_loses_its_own_mean(tones, tmp_path):
    """Train and valid D1's; D2, the test part and other speech D2's."""
    brain, _ = trained(tmp_path, tones, center="domain", warmup_epochs=0)
    bank = brain.modules.prototypes
    brain.set_prototypes()
    held = brain.make_dataset(tones)  # of nobody's part
    for dataset, domain in (
        (brain.datasets["train"], 0),
        (brain.datasets["valid"], 0),
        (brain.datasets["unlabelled"], 1),
        (held, 1),
    ):
        before = bank.means.means.clone()
        for p in brain.predict(dataset).values():
            expected = bank.soft_label(p["embedding"][None], domain)[0]
            torch.testing.assert_close(p["soft_label"], expected)
        assert torch.equal(bank.means.means, before)  # none is learnt from
    assert not torch.allclose(bank.means.means[0], bank.means.means[1])
