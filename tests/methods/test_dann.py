"""The DANN's Brain, as its recipe builds it, against Eq. 5 to 7 of the paper."""

import functools

import numpy as np
import pytest
import torch

import speechbrain as sb
from speechbrain_ser.experiment.hparams import load, peek, with_overrides
from speechbrain_ser.lobes.domain_norm import WAYS
from speechbrain_ser.methods import dann
from tests.methods.dann_brain import (
    HPARAMS,
    LABELS,
    MODULES,
    OPEN,
    TRAIN,
    VALID,
    array,
    begin,
    build_brain,
    corpus,
    features_of,
    fit,
    labels_of,
    split,
    stir,
)
from tests.references import dann as reference

TOGETHER = ["bn1", "bn2", "bn3", "none"]  # one step a batch


@pytest.fixture
def build(tmp_path):
    """A function of settings that builds the Brain and its datasets."""
    return functools.partial(build_brain, tmp_path)


# The parts


def test_the_paper_is_what_the_hparams_say():
    """Section 2.1, 3.3 and 4.1; what it does not give is marked there."""
    settings = peek(HPARAMS, "")
    expected = {
        "n_mels": 26,
        "win_length": 25,
        "hop_length": 10,
        "n_frames": 750,
        "n_filters": 200,
        "kernel_size": 10,
        "stride": 3,
        "pool_size": 30,
        "dropout": 0.7,
        "number_of_epochs": 50,
        "batch_size": 32,
        "lr": 1e-3,
        "lr_decay": 0.93,
        "lowest_lr": 5e-5,
        "penalty_weight": 5e-3,
        "valid_share": 0.3,
        "mono_test_share": 0.25,
        "mono_valid_share": 0.05,
        "recola_threshold": 0.0,
        "iemocap_threshold": 2.5,
        "batch_norm": "bn1",
        "valid_language": "target",
        "beta_ramp": False,
    }
    assert {name: settings[name] for name in expected} == expected
    hparams = load(HPARAMS, with_overrides("", labels=LABELS, penalty="l1"))
    assert hparams["opt_class"].func is torch.optim.Adam
    assert hparams["encoder"].dim == 1800
    shapes = {
        name: [tuple(p.shape) for p in hparams[name].parameters()]
        for name in MODULES
    }
    sizes = {name: sorted(each) for name, each in shapes.items()}
    assert sizes == {
        "encoder": [(200,), (200,), (200, 26, 10)],
        "norm": [(1800,), (1800,)],
        "classifier": [(2,), (2, 1800)],
        "language_classifier": [(2,), (2, 1800)],
    }
    assert hparams["modules"]["dropout"].p == 0.7
    assert hparams["modules"]["reversal"].scale == settings["beta"]


def test_what_trains(build):
    """The source with labels, all of the target without, none of it in base."""
    brain = build()
    held = brain.train_set
    with held.output_keys_as(["id", "label", "domain"]):
        rows = [tuple(row.values()) for row in held]
    source, target = rows[:20], rows[20:]
    assert [row[0] for row in source] == [f"train/{k}" for k in corpus("s", 20)]
    assert [row[1] for row in source] == [int(i % 3 == 0) for i in range(20)]
    assert {row[2] for row in source} == {0.0}
    assert [row[0] for row in target] == [
        f"target/{key}" for key in corpus("t", 17)
    ]
    assert {row[1:] for row in target} == {(-1, 1.0)}
    assert set(brain.datasets) == {"train", "valid", "test"}
    assert len(brain.datasets["train"]) == 20
    assert len(brain.datasets["valid"]) + len(brain.datasets["test"]) == 17
    brain = build(system="base")
    assert len(brain.train_set) == 20
    brain = build(system="mono")
    with brain.train_set.output_keys_as(["id", "domain"]):
        rows = [tuple(row.values()) for row in brain.train_set]
    assert {row[1] for row in rows} == {0.0}
    assert {row[0][0] for row in rows} == {"t"}
    sampler = begin(brain) and brain.train_sampler
    assert sampler.n_source == len(rows) and sampler.n_target == 0


def test_settings_reach_the_modules(build):
    """Those that no other test would miss."""
    brain = build(bn_momentum=0.3, dropout=0.25, beta=0.2)
    momenta = {s.momentum for s in brain.norm.statistics.values()}
    assert momenta == {0.3} and brain.modules.dropout.p == 0.25
    assert brain.modules.reversal.scale == 0.2


# Eq. 5 to 7


def by_reference(brain, batch, way, conditional=False):
    """Logits of emotion and language, all from the reference's loops."""
    encoder = brain.modules.encoder
    vectors = [
        reference.encode(
            array(x),
            array(encoder.conv.weight),
            array(encoder.conv.bias),
            array(encoder.attention.query),
            stride=3,
            pool=4,
        )
        for x in batch.sig.data
    ]
    n = len(labels_of(batch))
    gamma, beta = np.ones(30), np.zeros(30)
    if way != "none":
        gamma, beta = array(brain.norm.weight), array(brain.norm.bias)
    emotion, language = reference.normalised(
        way, np.array(vectors[:n]), np.array(vectors[n:]), gamma, beta
    )
    weight, bias = (array(p) for p in brain.modules.classifier.w.parameters())
    if conditional:
        told = np.exp(reference.log_softmax(language @ weight.T + bias))
        language = np.array(
            [
                [p * x for p in told[i] for x in v]
                for i, v in enumerate(language)
            ]
        )
    told = brain.modules.language_classifier.w
    return [
        emotion @ weight.T + bias,
        language @ array(told.weight).T + array(told.bias),
    ]


@pytest.mark.parametrize("way", TOGETHER)
@pytest.mark.parametrize("alpha, beta", [(0.5, 1.0), (0.9, 0.3), (0.2, 2.0)])
def test_loss_is_equations_5_to_7(build, way, alpha, beta):
    """From features to the sum, by the reference; the reversal is no part."""
    brain = build(batch_norm=way, alpha=alpha, beta=beta)
    batch = begin(brain)[1]
    stir(brain)
    predictions = brain.compute_forward(batch, TRAIN)
    logits, languages = by_reference(brain, batch, way)
    np.testing.assert_allclose(
        array(predictions["logits"]), logits, rtol=1e-3, atol=1e-4
    )
    np.testing.assert_allclose(
        array(predictions["languages"]), languages, rtol=1e-3, atol=1e-4
    )
    assert predictions["domains"].tolist() == [0] * 6 + [1] * 6
    loss = brain.compute_objectives(predictions, batch, TRAIN)
    emotion = reference.emotion_loss(logits, labels_of(batch))
    language = reference.language_loss(languages, 6)
    expected = reference.total_loss(alpha, emotion, language)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    noted = brain.history.means()
    assert noted["emotion_loss"] == pytest.approx(emotion, rel=1e-4)
    assert noted["domain_loss"] == pytest.approx(language, rel=1e-4)
    right = languages.argmax(axis=1) == np.array([0] * 6 + [1] * 6)
    recall = (right[:6].mean() + right[6:].mean()) / 2
    assert noted["domain_UA"] == pytest.approx(recall)


@pytest.mark.parametrize("way", TOGETHER)
def test_a_conditional_adversary_sees_each_class(build, way):
    """Embedding times posterior; the loss is Eq. 6 of it, and Eq. 7."""
    brain = build(path=OPEN, adversary="conditional", batch_norm=way, alpha=0.4)
    batch = begin(brain)[1]
    stir(brain)
    predictions = brain.compute_forward(batch, TRAIN)
    logits, languages = by_reference(brain, batch, way, conditional=True)
    assert brain.modules.language_classifier.w.weight.shape == (2, 60)
    np.testing.assert_allclose(
        array(predictions["languages"]), languages, rtol=1e-3, atol=1e-4
    )
    loss = brain.compute_objectives(predictions, batch, TRAIN)
    expected = reference.total_loss(
        0.4,
        reference.emotion_loss(logits, labels_of(batch)),
        reference.language_loss(languages, 6),
    )
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_a_conditional_adversary_moves_no_emotion_classifier(build):
    """The posterior is given: the encoder alone hides the language."""
    brain = build(path=OPEN, adversary="conditional", alpha=0.5, beta=1.0)
    batch = begin(brain)[0]
    brain.reversal.scale = 1.0
    predictions = brain.compute_forward(batch, TRAIN)
    brain.cross_entropy(
        predictions["languages"], predictions["domains"], weighted=False
    ).backward()
    assert all(p.grad is None for p in brain.modules.classifier.parameters())
    slope = brain.modules.encoder.conv.weight.grad
    assert slope is not None and slope.abs().sum() > 0


@pytest.mark.parametrize("system", ["base", "mono"])
def test_one_language_has_the_emotion_loss_alone(build, system):
    """Weighed by alpha all the same."""
    brain = build(system=system, alpha=0.3)
    batch = begin(brain)[0]
    predictions = brain.compute_forward(batch, TRAIN)
    assert "languages" not in predictions
    loss = brain.compute_objectives(predictions, batch, TRAIN)
    labels = [int(label) for label in batch.label]
    assert len(labels) == 6 and min(labels) == 0
    expected = 0.3 * reference.emotion_loss(
        array(predictions["logits"]), labels
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert set(brain.history.means()) == {"emotion_loss"}


def test_class_weights_weigh_the_emotion_alone(build):
    """Seven high and thirteen low of the source; both languages weigh 1."""
    brain = build(class_weights="balanced", alpha=0.4)
    batch = begin(brain)[0]
    predictions = brain.compute_forward(batch, TRAIN)
    loss = brain.compute_objectives(predictions, batch, TRAIN)
    weight = [20 / (2 * 13), 20 / (2 * 7)]
    log_p = reference.log_softmax(array(predictions["logits"]))
    labels = labels_of(batch)
    emotion = -sum(weight[y] * log_p[i, y] for i, y in enumerate(labels))
    emotion /= sum(weight[y] for y in labels)
    language = reference.language_loss(array(predictions["languages"]), 6)
    expected = reference.total_loss(0.4, emotion, language)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("penalty", ["l1", "l2", "none"])
@pytest.mark.parametrize("system", ["dann", "base"])
def test_penalty_is_of_the_kernels(build, penalty, system):
    """Convolution and classifiers, no bias, query, gain: loss and gradient."""
    brain = build(penalty=penalty, penalty_weight=0.02, system=system)
    batch = begin(brain)[0]
    used = [brain.modules.encoder.conv, brain.modules.classifier.w]
    if system == "dann":
        used.append(brain.modules.language_classifier.w)
    found = []
    for weight in (0.02, 0.0):
        brain.penalty_weight = weight
        brain.modules.zero_grad()
        predictions = brain.compute_forward(batch, TRAIN)
        loss = brain.compute_objectives(predictions, batch, TRAIN)
        loss.backward()
        gradients = {
            name: p.grad.clone()
            for name, p in brain.modules.named_parameters()
            if p.grad is not None
        }
        found.append((loss.item(), gradients))
    (loss, gradients), (plain, without) = found
    kernels = [layer.weight for layer in used]
    total = {"l1": reference.l1, "l2": reference.l2, "none": lambda _: 0}
    expected = 0.02 * total[penalty]([array(w) for w in kernels])
    assert loss - plain == pytest.approx(expected, rel=1e-4, abs=1e-7)
    slope = {"l1": torch.sign, "l2": lambda w: 2 * w, "none": torch.zeros_like}
    of_kernels = {id(w) for w in kernels}
    for name, p in brain.modules.named_parameters():
        if name in gradients:
            more = gradients[name] - without.get(name, 0)
            right = torch.zeros_like(p)
            if id(p) in of_kernels:
                right = 0.02 * slope[penalty](p.detach())
            torch.testing.assert_close(more, right, atol=1e-6, rtol=1e-4)


def test_the_split_hides_the_labels():
    """All of the target's speech is there, with nothing but where it is and who speaks."""
    parts, target = split(), corpus("t", 17)
    assert set(parts["target"]) == set(target)
    for key, entry in parts["target"].items():
        known = ("wav", "duration", "speaker")
        kept = {name: target[key][name] for name in known}
        assert entry == kept | {"domain": 1}
    for part, domain in (("train", 0), ("valid", 1), ("test", 1)):
        assert {e["domain"] for e in parts[part].values()} == {domain}
        assert all(e["emotion"] for e in parts[part].values())


# Dropout


def classified(brain):
    """Keeps what both classifiers are given."""
    held = {"classifier": [], "language_classifier": []}
    for name, given in held.items():
        brain.modules[name].register_forward_pre_hook(
            lambda _, inputs, given=given: given.append(inputs[0].detach())
        )
    return held


@pytest.mark.parametrize("way", WAYS)
def test_both_classifiers_lose_the_same_numbers(build, way):
    """Those that are left are doubled; the target loses others."""
    brain = build(dropout=0.5, batch_norm=way, lr=1e-9)
    batch = begin(brain)[0]
    held = classified(brain)
    brain.step = 1
    brain.fit_batch(batch)
    emotion = torch.cat(held["classifier"])
    language = torch.cat(held["language_classifier"])
    assert emotion.shape == (6, 30) and language.shape == (12, 30)
    # without a norm the pooled ones may be 0 as they are
    lost = emotion == 0
    if way != "none":
        assert 0.3 < lost.float().mean() < 0.7
    assert torch.equal(lost, language[:6] == 0)
    assert not torch.equal(language[:6] == 0, language[6:] == 0)
    plain = build(dropout=0.0, batch_norm=way, lr=1e-9)
    batch = begin(plain)[0]
    held = classified(plain)
    plain.step = 1
    plain.fit_batch(batch)
    whole = torch.cat(held["classifier"])
    torch.testing.assert_close(emotion, 2 * whole * ~lost, rtol=1e-4, atol=1e-5)
    languages = torch.cat(held["language_classifier"])
    left = language != 0
    torch.testing.assert_close(
        language, 2 * languages * left, rtol=1e-4, atol=1e-5
    )


def test_each_step_and_process_drops_others(build, monkeypatch):
    """By seed, epoch, step and rank, and by nothing that was drawn before."""

    def masks(seed=3, epoch=1, step=1, rank=None, drawn=0):
        """Which numbers of the source are lost."""
        brain = build(dropout=0.5, seed=seed)
        begin(brain)
        brain.epoch, brain.step = epoch, step
        monkeypatch.setattr(dann, "get_rank", lambda: rank)
        held = classified(brain)
        # the same utterances, whatever the seed and the epoch are
        data = brain.train_set
        rows = [data[i] for i in (*range(6), *range(20, 26))]
        batch = sb.dataio.batch.PaddedBatch(rows)
        torch.rand(drawn)
        brain.fit_batch(batch)
        return (held["classifier"][0] == 0).flatten().tolist()

    expected = masks()
    assert masks() == expected == masks(drawn=5) == masks(rank=0)
    others = [
        expected,
        masks(seed=4),
        masks(epoch=2),
        masks(step=2),
        masks(rank=1),
    ]
    assert len(set(map(tuple, others))) == 5


# Evaluation


@pytest.mark.parametrize("way", WAYS)
def test_evaluation_normalises_as_the_emotion_learnt(build, way):
    """Each utterance by its own domain, whatever its batch; no dropout."""
    brain = build(batch_norm=way, dropout=0.5, eval_batch_size=5)
    fit(brain)
    mixed = {}
    for part in ("train", "test"):
        data = brain.datasets[part]
        mixed |= {key: data.data[key]["entry"] for key in data.data_ids}
    dataset = brain.make_dataset(mixed)
    before = {k: v.clone() for k, v in brain.modules.state_dict().items()}
    predictions = brain.predict(dataset)
    assert set(predictions) == set(mixed)
    with torch.no_grad():
        for key, entry in mixed.items():
            vector = brain.modules.encoder(features_of(entry)[None])
            if way != "none":
                kind = {
                    "bn1": ("whole", "whole"),
                    "bn2": ("source", "source"),
                    "bn3": ("source", "target"),
                    "bn4": ("source", "target"),
                }[way][key[0] == "t"]
                held = brain.norm.statistics[kind]
                vector = (vector - held.mean) / (held.var + 1e-5).sqrt()
                vector = vector * brain.norm.weight + brain.norm.bias
            posterior = brain.modules.classifier(vector).softmax(dim=1)
            torch.testing.assert_close(
                predictions[key]["embedding"], vector[0], atol=1e-4, rtol=1e-4
            )
            torch.testing.assert_close(
                predictions[key]["posterior"],
                posterior[0],
                atol=1e-5,
                rtol=1e-4,
            )
    for key, value in brain.modules.state_dict().items():
        assert torch.equal(value, before[key])


def test_loss_of_a_validation_is_that_of_its_labelled(build):
    """Plain cross entropy, neither weighed by alpha nor penalised."""
    brain = build(penalty="l2", alpha=0.3)
    begin(brain)
    brain.modules.eval()
    part = brain.datasets["valid"]
    mixed = {key: dict(part.data[key]["entry"]) for key in part.data_ids}
    first, *others = mixed
    mixed[first]["emotion"] = None
    dataset = brain.make_dataset(mixed)
    (batch,) = brain.make_dataloader(dataset, VALID)
    predictions = brain.compute_forward(batch, VALID)
    loss = brain.compute_objectives(predictions, batch, VALID)
    known = [i for i, key in enumerate(batch.id) if key != first]
    expected = reference.emotion_loss(
        array(predictions["logits"])[known],
        [LABELS.index(mixed[batch.id[i]]["emotion"]) for i in known],
    )
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert brain.history.means() == {}


# What is told


def test_domain_loss_and_recall_by_hand(build):
    """Mean of both recalls, also of halves of other sizes; of one alone."""
    brain = build()
    logits = torch.tensor([[2.0, 0], [0, 2], [2, 0], [2, 0], [0, 2]])
    domains = torch.tensor([0, 0, 0, 1, 1])
    brain.watch_languages(logits, domains, torch.tensor(0.25))
    found = brain.history.means()
    assert found == pytest.approx(
        {"domain_loss": 0.25, "domain_UA": (2 / 3 + 1 / 2) / 2}
    )
    # bn4: a step of each, whose mean is the epoch's
    for domain in (0, 1):
        own = domains == domain
        brain.watch_languages(logits[own], domains[own], torch.tensor(1.0))
    found = brain.history.means()
    assert found["domain_UA"] == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_curves_have_the_adversary(build):
    """Each epoch's means, in the rows that Figure 3 is drawn of."""
    brain = build()
    fit(brain)
    for row in brain.history.rows:
        assert {"domain_loss", "domain_UA", "emotion_loss", "valid_UA"} <= {
            *row
        }
        total = 0.5 * row["emotion_loss"] + 0.5 * row["domain_loss"]
        # no penalty: the mean loss of the epoch's batches is Eq. 7's
        assert row["train_loss"] == pytest.approx(total, rel=1e-4)
    base = build(system="base")
    fit(base)
    assert "domain_UA" not in base.history.rows[0]
