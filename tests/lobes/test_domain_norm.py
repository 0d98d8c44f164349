"""BN1 to BN4 by hand and against the reference; what evaluation normalises by."""

import inspect

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes import domain_norm
from speechbrain_ser.lobes.domain_norm import (
    STATISTICS,
    WAYS,
    DomainBatchNorm,
    RunningStatistics,
)
from tests.references import dann as reference

DIM = 3
MOMENTS = ("mean", "var")


def make(way, **settings):
    """With a gain and a bias that are not 1 and 0."""
    norm = DomainBatchNorm(DIM, way, **settings)
    if way != "none":
        norm.weight.data = torch.tensor([0.5, 2.0, -1.0])
        norm.bias.data = torch.tensor([0.1, -0.2, 3.0])
    return norm


def gain_and_bias(norm):
    """For the reference."""
    if norm.way == "none":
        return np.ones(DIM), np.zeros(DIM)
    return norm.weight.detach().numpy(), norm.bias.detach().numpy()


def draw(n, m, seed=1):
    """Source and target of other means and spreads."""
    generator = torch.Generator().manual_seed(seed)
    source = torch.randn(n, DIM, generator=generator) * 2 + 1
    target = torch.randn(m, DIM, generator=generator) * 0.5 - 3
    return source, target


def close(found, expected):
    """Within float32."""
    np.testing.assert_allclose(
        torch.as_tensor(found).detach().numpy(), expected, rtol=1e-5, atol=1e-5
    )


def in_turn(norm, source, target):
    """bn4: two batches, one after the other, put together again."""
    emotion, first = norm(source, target[:0])
    nothing, second = norm(source[:0], target)
    assert len(nothing) == 0
    return emotion, torch.cat([first, second])


# By hand


ROOT = 5**0.5


@pytest.mark.parametrize(
    "way, emotion, language",
    [
        # 1, 3 and 5, 7: the mean of all is 4, the variance 5
        (
            "bn1",
            [-3 / ROOT, -1 / ROOT],
            [-3 / ROOT, -1 / ROOT, 1 / ROOT, 3 / ROOT],
        ),
        ("bn2", [-1, 1], [-3 / ROOT, -1 / ROOT, 1 / ROOT, 3 / ROOT]),
        # of a half the mean is 2 or 6, the variance 1
        ("bn3", [-1, 1], [-1, 1, -1, 1]),
        ("bn4", [-1, 1], [-1, 1, -1, 1]),
        ("none", [1, 3], [1, 3, 5, 7]),
    ],
)
def test_four_numbers_by_hand(way, emotion, language):
    """Source 1 and 3, target 5 and 7; the variance that is kept is unbiased."""
    norm = DomainBatchNorm(1, way, eps=1e-9)
    source, target = torch.tensor([[1.0], [3]]), torch.tensor([[5.0], [7]])
    if way == "bn4":
        found = in_turn(norm, source, target)
    else:
        found = norm(source, target)
    for rows, expected in zip(found, (emotion, language)):
        assert rows.squeeze(1).tolist() == pytest.approx(expected)
    kept = {
        "whole": (0.4, 0.9 + 0.1 * 20 / 3),
        "source": (0.2, 0.9 + 0.1 * 2),
        "target": (0.6, 0.9 + 0.1 * 2),
    }
    for name, statistics in norm.statistics.items():
        mean, var = kept[name]
        assert statistics.mean.item() == pytest.approx(mean)
        assert statistics.var.item() == pytest.approx(var)


# Against the reference


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("n, m", [(4, 4), (2, 7), (7, 2)])
def test_training_is_the_reference(way, n, m):
    """Both outputs, gain and bias included; a batch of float32 or float64."""
    source, target = draw(n, m)
    norm = make(way)
    gamma, beta = gain_and_bias(norm)
    if way == "bn4":
        emotion, language = in_turn(norm, source, target)
        halves = [
            reference.bn4_step(x.numpy(), gamma, beta) for x in (source, target)
        ]
        expected = halves[0], np.concatenate(halves)
    else:
        emotion, language = norm(source, target)
        expected = reference.normalised(
            way, source.numpy(), target.numpy(), gamma, beta
        )
    assert emotion.shape == (n, DIM) and language.shape == (n + m, DIM)
    close(emotion, expected[0])
    close(language, expected[1])


def whose(name, source, target):
    """The utterances that a kind of statistics is of."""
    return {
        "whole": torch.cat([source, target]),
        "source": source,
        "target": target,
    }[name]


@pytest.mark.parametrize("way", WAYS[:-1])
@pytest.mark.parametrize("momentum", [0.1, 0.3])
def test_running_statistics_after_two_batches(way, momentum):
    """Exactly those that the way needs, as torch keeps them."""
    norm = make(way, momentum=momentum)
    needed = {
        "bn1": {"whole"},
        "bn2": {"source", "whole"},
        "bn3": {"source", "target"},
        "bn4": {"source", "target"},
    }
    assert set(norm.statistics) == needed[way]
    batches = [draw(5, 4, seed=1), draw(3, 6, seed=2)]
    for batch in batches:
        in_turn(norm, *batch) if way == "bn4" else norm(*batch)
    for name, statistics in norm.statistics.items():
        mean, var = np.zeros(DIM), np.ones(DIM)
        for batch in batches:
            x = whose(name, *batch).numpy()
            _, own, variance = reference.batch_norm(
                x, np.ones(DIM), np.zeros(DIM)
            )
            mean, var = reference.running(
                mean, var, own, variance, len(x), momentum
            )
        close(statistics.mean, mean)
        close(statistics.var, var)


TAKEN = {
    "bn1": {"emotion": ("whole", "whole"), "language": ("whole", "whole")},
    "bn2": {"emotion": ("source", "source"), "language": ("whole", "whole")},
    "bn3": {"emotion": ("source", "target"), "language": ("source", "target")},
    "bn4": {"emotion": ("source", "target"), "language": ("source", "target")},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("classifier", ["emotion", "language"])
@pytest.mark.parametrize("training", [True, False])
def test_evaluation_takes_the_statistics_of_the_table(
    way, classifier, training
):
    """Of source and target, mixed in one batch; and moves none of them."""
    norm = make(way)
    for seed in (1, 2):
        batch = draw(5, 4, seed)
        in_turn(norm, *batch) if way == "bn4" else norm(*batch)
    held = {k: v.clone() for k, v in norm.state_dict().items()}
    x, _ = draw(6, 0, seed=3)
    domains = torch.tensor([1, 0, 0, 1, 1, 0])
    norm.train(training)
    found = norm.of(classifier, x, domains)
    gamma, beta = gain_and_bias(norm)
    for row, domain, given in zip(found, domains, x):
        expected = given[None].numpy()
        if way != "none":
            statistics = norm.statistics[TAKEN[way][classifier][domain]]
            expected, _, _ = reference.batch_norm(
                given[None].numpy(),
                gamma,
                beta,
                mean=statistics.mean.numpy(),
                var=statistics.var.numpy(),
            )
        close(row[None], expected)
    for key, value in norm.state_dict().items():
        assert torch.equal(value, held[key])
    # domains come as numbers of any type
    assert torch.equal(found, norm.of(classifier, x, domains.double()))
    assert torch.equal(found[2:3], norm.of(classifier, x[2:3], domains[2:3]))


def test_the_docstring_is_what_is_done():
    """Its table, row by row, names the statistics that are taken."""
    text = inspect.getdoc(DomainBatchNorm)
    table = text.split("====\n")[1:]
    rows = " ".join(" ".join(table[1:2]).split())
    for way in WAYS:
        assert f"{way} " in rows
    assert STATISTICS == TAKEN and WAYS == (*TAKEN, "none")
    assert (
        "for the emotion the source by for the emotion of the source, also "
        "itself, for the language both for the target; for the language "
        "together of both together" in rows
    )
    assert "bn3 each by itself of an utterance's own domain" in rows
    assert "bn1 source and target together of both together" in rows


# Gradients


@pytest.mark.parametrize("way", WAYS)
def test_gradients_are_those_of_the_formula(way):
    """Through mean and variance too; gain and bias are shared by all."""
    torch.manual_seed(1)
    given = [x.double().requires_grad_() for x in draw(5, 4)]
    upstream = [torch.randn(n, DIM, dtype=torch.float64) for n in (5, 9)]
    norm = make(way)
    outputs = in_turn(norm, *given) if way == "bn4" else norm(*given)
    parameters = list(norm.parameters())
    assert len(parameters) == (0 if way == "none" else 2)
    found = torch.autograd.grad(
        sum((o.double() * u).sum() for o, u in zip(outputs, upstream)),
        (*given, *parameters),
    )
    gamma, beta = map(torch.tensor, gain_and_bias(norm))
    gamma = gamma.double().requires_grad_()
    beta = beta.double().requires_grad_()

    def normal(x):
        """Eps as in the reference."""
        centred = x - x.mean(dim=0)
        return centred / ((centred**2).mean(dim=0) + 1e-5).sqrt() * gamma + beta

    source, target = given
    whole = torch.cat(given)
    expected = {
        "none": (source, whole),
        "bn1": (normal(whole)[:5], normal(whole)),
        "bn2": (normal(source), normal(whole)),
        "bn3": (normal(source), torch.cat([normal(x) for x in given])),
    }
    expected["bn4"] = expected["bn3"]
    wanted = [*given, gamma, beta][: 2 + len(parameters)]
    gradients = torch.autograd.grad(
        sum((o * u).sum() for o, u in zip(expected[way], upstream)), wanted
    )
    for one, other in zip(found, gradients):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)
        assert other.abs().max() > 0.01


@pytest.mark.parametrize("way", ["bn2", "bn3", "bn4", "none"])
def test_the_target_does_not_touch_the_emotion(way):
    """Another target, the same bits for the source; with bn1 it does."""
    source, target = draw(5, 4)
    for other, same in ((way, True), ("bn1", False)):
        found = []
        for x in (target, target * 7 + 1):
            norm = make(other)
            if other == "bn4":
                found.append(norm(source, x[:0])[0])
                norm(source[:0], x)
            else:
                found.append(norm(source, x)[0])
            if other in ("bn2", "bn3", "bn4"):
                found.append(norm.statistics["source"].mean)
        half = len(found) // 2
        for one, two in zip(found[:half], found[half:]):
            assert torch.equal(one, two) == same


# What is odd


def test_bn4_takes_one_domain_at_a_time():
    """Both at once would be bn3."""
    with pytest.raises(ValueError, match="one after the other"):
        make("bn4")(*draw(2, 2))


@pytest.mark.parametrize("way", WAYS)
def test_a_half_may_be_empty(way):
    """Nothing is made of nothing, and its statistics stay."""
    source, target = draw(4, 4)
    norm = make(way)
    before = {k: v.clone() for k, v in norm.state_dict().items()}
    emotion, language = norm(source[:0], target)
    assert emotion.shape == (0, DIM) and language.shape == (4, DIM)
    if "source" in norm.statistics:
        for name in ("mean", "var"):
            key = f"statistics.source.{name}"
            assert torch.equal(norm.state_dict()[key], before[key])
    emotion, language = make(way)(source, target[:0])
    assert torch.equal(emotion, language)
    if way != "none":
        gamma, beta = gain_and_bias(norm)
        close(emotion, reference.bn4_step(source.numpy(), gamma, beta))


def test_a_source_alone_is_plain_batch_norm():
    """bn1, as `base` has it: torch's own layer, training and evaluation."""
    norm = make("bn1")
    plain = torch.nn.BatchNorm1d(DIM)
    plain.weight.data, plain.bias.data = norm.weight.data, norm.bias.data
    for seed in (1, 2, 3):
        source, nothing = draw(5, 0, seed)
        torch.testing.assert_close(norm(source, nothing)[0], plain(source))
    x, _ = draw(3, 0, 4)
    found = norm.eval().of("emotion", x, torch.zeros(3))
    torch.testing.assert_close(found, plain.eval()(x))


@pytest.mark.parametrize("way", WAYS[:-1])
def test_a_batch_of_one_is_refused_in_training(way):
    """It has no variance; in evaluation it is as good as any."""
    norm = make(way)
    with pytest.raises(ValueError):
        norm(*draw(1, 0))
    assert norm.eval().of("emotion", *draw(1, 0)[:1], torch.zeros(1)).shape


def test_there_are_no_other_ways():
    """With those that there are."""
    with pytest.raises(ValueError, match="'bn5': .*bn1, bn2, bn3, bn4, none"):
        DomainBatchNorm(DIM, "bn5")


@pytest.mark.parametrize("way", WAYS)
def test_saved_and_loaded(way):
    """Another module evaluates alike; nothing is missing or left over."""
    norm = make(way)
    in_turn(norm, *draw(5, 4)) if way == "bn4" else norm(*draw(5, 4))
    other = DomainBatchNorm(DIM, way)
    other.load_state_dict(norm.state_dict())
    x, _ = draw(6, 0, 5)
    domains = torch.tensor([0, 1, 1, 0, 0, 1])
    for classifier in ("emotion", "language"):
        assert torch.equal(
            norm.of(classifier, x, domains), other.of(classifier, x, domains)
        )
    expected = {f"statistics.{n}.{v}" for n in norm.statistics for v in MOMENTS}
    expected |= set() if way == "none" else {"weight", "bias"}
    assert set(norm.state_dict()) == expected


def test_float32_whatever_comes():
    """Half precision's mean of large numbers would be wrong."""
    source, target = (x.bfloat16() for x in draw(4, 4))
    with torch.autocast("cpu", torch.bfloat16):
        emotion, language = make("bn1")(source, target)
        found = make("bn1").of("emotion", source, torch.zeros(4))
    kinds = {x.dtype for x in (emotion, language, found)}
    assert kinds == {torch.float32}


# Several processes


@pytest.mark.parametrize("n", [2, 3, 8])
def test_several_processes_normalise_as_one(monkeypatch, n):
    """Outputs, statistics and gradients, of the sums over all processes."""
    torch.manual_seed(1)
    whole = torch.randn(n, DIM) * 3 + 50
    upstream = torch.randn(n, DIM)
    one = RunningStatistics(DIM, 0.3)
    x = whole.clone().requires_grad_()
    expected = one(x)
    (wanted,) = torch.autograd.grad((expected * upstream).sum(), x)
    monkeypatch.setattr(domain_norm, "world_size", lambda: 2)
    # one of the processes has all utterances
    monkeypatch.setattr(domain_norm, "all_reduce", lambda total: total)
    two = RunningStatistics(DIM, 0.3)
    x = whole.clone().requires_grad_()
    found = two(x)
    (gradient,) = torch.autograd.grad((found * upstream).sum(), x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(two.mean, one.mean)
    torch.testing.assert_close(two.var, one.var)
    assert not two.mean.requires_grad
    with pytest.raises(ValueError, match="two utterances"):
        two(whole[:1])


@pytest.mark.parametrize("way", ["bn2", "bn3", "bn4"])
def test_nobody_waits_for_the_sums_of_nothing(monkeypatch, way):
    """An empty half is empty in all processes: nothing is sent."""
    _, target = draw(0, 4)
    norm = make(way)
    sent = []
    monkeypatch.setattr(domain_norm, "world_size", lambda: 2)
    monkeypatch.setattr(
        domain_norm, "all_reduce", lambda total: sent.append(1) or total
    )
    emotion, language = norm(target[:0], target)
    assert len(emotion) == 0 and len(language) == 4
    assert len(sent) == 2


def test_the_other_processes_sums_count(monkeypatch):
    """Each is told what the other has: a source of 2 beside one of 3."""
    torch.manual_seed(1)
    whole = torch.randn(5, DIM)
    own, other = whole[:2], whole[2:]
    sums = iter(
        [
            torch.cat([other.sum(0), torch.tensor([3.0])]),
            ((other - whole.mean(0)) ** 2).sum(0),
        ]
    )
    monkeypatch.setattr(domain_norm, "world_size", lambda: 2)
    monkeypatch.setattr(domain_norm, "all_reduce", lambda t: t + next(sums))
    found = RunningStatistics(DIM)(own)
    monkeypatch.setattr(domain_norm, "world_size", lambda: 1)
    expected = RunningStatistics(DIM)(whole)[:2]
    torch.testing.assert_close(found, expected)
    assert next(sums, None) is None
