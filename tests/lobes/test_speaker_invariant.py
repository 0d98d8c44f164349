"""Table 1 of MEnAN counted by hand and against loops; SC's memory and view."""

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes.speaker_invariant import (
    EmbeddingMemory,
    MEnANClassifier,
    MEnANEncoder,
    standardised,
)
from tests.references import menan as reference

# What the pooling adds to the variance: the reference has it as an argument.
EPSILON = 1e-5
SLOPES = (0.6, -0.3, 1.7)


def draw(*shape, seed=1):
    """Random numbers in float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def drawn(module, seed=1, slopes=SLOPES):
    """A module in float64 with random weights, each PReLU with its slope."""
    torch.manual_seed(seed)
    module = module.double()
    slopes = iter(slopes)
    with torch.no_grad():
        for layer in module.modules():
            if isinstance(layer, torch.nn.PReLU):
                layer.weight.fill_(next(slopes))
            elif not list(layer.children()):
                for weight in layer.parameters():
                    weight.normal_(0, 0.3)
    return module


def of_encoder(encoder):
    """An encoder's weights by the names of the reference."""
    first, second = encoder.convs
    named = {
        "conv1_weight": first.weight,
        "conv1_bias": first.bias,
        "prelu1": encoder.activations[0].weight,
        "conv2_weight": second.weight,
        "conv2_bias": second.bias,
        "prelu2": encoder.activations[1].weight,
        "gru_w_ih": encoder.gru.weight_ih_l0,
        "gru_w_hh": encoder.gru.weight_hh_l0,
        "gru_b_ih": encoder.gru.bias_ih_l0,
        "gru_b_hh": encoder.gru.bias_hh_l0,
        "linear_weight": encoder.linear.weight,
        "linear_bias": encoder.linear.bias,
        "prelu3": encoder.activation.weight,
    }
    return {key: value.detach().numpy() for key, value in named.items()}


def of_classifier(classifier):
    """A classifier's weights by the names of the reference."""
    one, a1, two, a2, three = classifier
    named = {
        "w1": one.weight,
        "b1": one.bias,
        "a1": a1.weight,
        "w2": two.weight,
        "b2": two.bias,
        "a2": a2.weight,
        "w3": three.weight,
        "b3": three.bias,
    }
    return {key: value.detach().numpy() for key, value in named.items()}


def count(module):
    """Learnt numbers."""
    return sum(weight.numel() for weight in module.parameters())


# Table 1


def test_parameters_counted_by_hand():
    """Of each part; none of them is frozen or a buffer."""
    parts = {
        "encoder": MEnANEncoder(),
        "emotion_classifier": MEnANClassifier(4),
        "speaker_classifier": MEnANClassifier(8),
    }
    found = {name: count(module) for name, module in parts.items()}
    assert found == reference.table_1_parameters()
    assert found == {
        "encoder": 26339,
        "emotion_classifier": 3480,
        "speaker_classifier": 3524,
    }
    for module in parts.values():
        assert all(weight.requires_grad for weight in module.parameters())
        assert not list(module.buffers())


def test_layers_of_table_1():
    """Each with its sizes, in the order of the table."""
    encoder = MEnANEncoder()
    seen = []

    def note(layer, given, out):
        """Keeps the name and what comes out."""
        out = out[0] if isinstance(out, tuple) else out
        seen.append((type(layer).__name__, tuple(out.shape)))

    for layer in [*encoder.modules(), *(ec := MEnANClassifier(4))]:
        if not list(layer.children()):
            layer.register_forward_hook(note)
    vectors = encoder(torch.randn(2, 1401, 43))
    assert ec(vectors).shape == (2, 4)
    # (1401 - 10) // 2 + 1 = 696, (696 - 5) // 2 + 1 = 346
    assert seen == [
        ("Conv1d", (2, 32, 696)),
        ("PReLU", (2, 32, 696)),
        ("Conv1d", (2, 32, 346)),
        ("PReLU", (2, 32, 346)),
        ("GRU", (2, 346, 32)),
        ("Linear", (2, 346, 32)),
        ("PReLU", (2, 346, 32)),
        ("StatisticsPooling", (2, 64)),
        ("MaxPooling", (2, 32)),
        ("Linear", (2, 32)),
        ("PReLU", (2, 32)),
        ("Linear", (2, 10)),
        ("PReLU", (2, 10)),
        ("Linear", (2, 4)),
    ]
    assert encoder.dim == 96
    first, second = encoder.convs
    for conv, sizes in ((first, (43, 32, 10)), (second, (32, 32, 5))):
        assert (conv.in_channels, conv.out_channels) == sizes[:2]
        assert conv.kernel_size == sizes[2:]
        assert (conv.stride, conv.padding) == ((2,), (0,))
        assert (conv.dilation, conv.groups) == ((1,), 1)
    gru = encoder.gru
    assert (gru.input_size, gru.hidden_size, gru.num_layers) == (32, 32, 1)
    assert not gru.bidirectional and gru.dropout == 0
    slopes = [*encoder.activations, encoder.activation, ec[1], ec[3]]
    assert [layer.num_parameters for layer in slopes] == [1] * 5
    assert [layer.weight.item() for layer in slopes] == [0.25] * 5


def test_frames_of_the_convolutions():
    """Told before they are made, from the shortest on."""
    encoder = MEnANEncoder()
    by_hand = {18: 1, 21: 1, 22: 2, 31: 4, 101: 21, 1401: 346}
    for frames, expected in by_hand.items():
        assert encoder.count_frames(frames) == expected
        x = torch.zeros(1, 43, frames)
        for conv in encoder.convs:
            x = conv(x)
        assert x.shape[2] == expected
    counts = encoder.count_frames(torch.tensor([*by_hand, 17, 9, 0]))
    assert counts[:-3].tolist() == list(by_hand.values())
    assert (counts[-3:] < 1).all()


# Against the reference


@pytest.mark.parametrize("n", [18, 21, 40])
@pytest.mark.parametrize("slopes", [SLOPES, (0.25, 0.25, 0.25)])
def test_encoder_equals_loops(n, slopes):
    """Loops in float64, as the features are."""
    encoder = drawn(MEnANEncoder(), slopes=slopes)
    features = draw(2, n, 43)
    found = encoder(features).detach()
    assert found.shape == (2, 96) and found.dtype == features.dtype
    weights = of_encoder(encoder)
    expected = [
        reference.encode(utterance, weights, EPSILON)
        for utterance in features.numpy()
    ]
    np.testing.assert_allclose(found.numpy(), expected, atol=2e-6, rtol=2e-6)
    # means, deviations and maxima are no copies of each other
    mean, std, most = found.view(2, 3, 32).unbind(1)
    assert (most >= mean - 1e-6).all() and (std > 0).all()
    if n == 40:
        assert (most > mean).all() and std.max() > 0.1


@pytest.mark.parametrize("n_classes", [4, 8])
@pytest.mark.parametrize("slopes", [(0.6, -0.3), (0.25, 0.25)])
def test_classifier_equals_loops(n_classes, slopes):
    """Of four emotions and eight speakers, in float64 to the last digits."""
    classifier = drawn(MEnANClassifier(n_classes), slopes=slopes)
    vectors = draw(3, 96)
    found = classifier(vectors).detach().numpy()
    weights = of_classifier(classifier)
    expected = [reference.classify(v, weights) for v in vectors.numpy()]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_classifiers_of_other_sizes():
    """What is given is what is made."""
    classifier = MEnANClassifier(3, input_size=6, hidden_sizes=(5,))
    assert classifier(torch.zeros(2, 6)).shape == (2, 3)
    assert count(classifier) == 6 * 5 + 5 + 1 + 5 * 3 + 3
    encoder = MEnANEncoder(7, channels=4, kernel_sizes=(3,), stride=1)
    assert encoder(torch.zeros(2, 3, 7)).shape == (2, 12) == (2, encoder.dim)
    assert encoder.count_frames(10) == 8


# Who is in the batch, and how long it is


def padded(*counts, behind=0.0):
    """Features of so many frames each, and their relative lengths."""
    features = torch.full((len(counts), max(counts), 43), behind)
    for i, n in enumerate(counts):
        features[i, :n] = draw(n, 43, seed=i).float()
    return features, torch.tensor(counts) / max(counts)


@pytest.mark.parametrize("behind", [0.0, 1e3])
def test_padding_changes_nothing(behind):
    """Whatever is behind the end, an utterance is encoded as if alone."""
    counts = (150, 18, 19, 61, 149)
    encoder = drawn(MEnANEncoder()).double()
    features, lengths = padded(*counts, behind=behind)
    features = features.double()  # float32 rounds otherwise on each processor
    found = encoder(features, lengths)
    for i, n in enumerate(counts):
        alone = encoder(features[i : i + 1, :n])
        torch.testing.assert_close(found[i : i + 1], alone)
    # of one length nothing need be said of lengths
    same = features[:1].expand(3, -1, -1)
    torch.testing.assert_close(encoder(same, torch.ones(3)), encoder(same))


def test_lengths_are_exact():
    """No frame is lost or won because a share is rounded to float32."""
    torch.manual_seed(1)
    encoder = MEnANEncoder(1, channels=2, kernel_sizes=(1, 2), stride=1)
    most = 97
    features = torch.linspace(-1, 1, most).view(1, most, 1)
    counts = torch.arange(2, most + 1)
    shares = counts / most
    # truncated, some would be one less
    assert ((shares * most).long() != counts).any()
    with torch.no_grad():
        found = encoder(features.expand(len(counts), -1, -1), shares)
        alone = [encoder(features[:, :n]) for n in counts]
    torch.testing.assert_close(found, torch.cat(alone), atol=1e-6, rtol=1e-5)


def test_permuted_batch_is_the_permuted_result():
    """In training as in evaluation: no layer looks at the others."""
    encoder, classifier = MEnANEncoder().train(), MEnANClassifier(8).train()
    features, lengths = padded(40, 80, 22, 61)
    order = torch.tensor([2, 0, 3, 1])
    found = classifier(encoder(features, lengths))
    moved = classifier(encoder(features[order], lengths[order]))
    torch.testing.assert_close(moved, found[order])
    assert not torch.allclose(moved, found)
    again = classifier(encoder(features, lengths))
    evaluated = classifier.eval()(encoder.eval()(features, lengths))
    assert torch.equal(again, found) and torch.equal(evaluated, found)


@pytest.mark.parametrize("counts", [(17,), (18, 17), (100, 9), (60, 1), (0,)])
def test_too_short_utterance_is_refused(counts):
    """By its own length, not by that of the batch; with the mend."""
    features = torch.zeros(len(counts), max(counts), 43)
    lengths = torch.tensor(counts) / max(*counts, 1)
    with pytest.raises(ValueError, match="too short.*repeated_or_middle"):
        MEnANEncoder()(features, lengths)
    if len(counts) == 1:
        with pytest.raises(ValueError, match="too short"):
            MEnANEncoder()(features)
    else:
        MEnANEncoder()(torch.zeros(2, 18, 43))


def test_empty_batch():
    """No utterance, no embedding."""
    assert MEnANEncoder()(torch.zeros(0, 30, 43)).shape == (0, 96)


# Gradients and precision


@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("n", [18, 50])
def test_constant_input_has_a_finite_gradient(value, n):
    """Also where the deviation is zero: all frames, or the only one."""
    encoder = MEnANEncoder()
    with torch.no_grad():
        # so that no frame remembers the one before: all are the same
        for weight in encoder.gru.parameters():
            weight.zero_()
    features = torch.full((2, n, 43), value, requires_grad=True)
    found = encoder(features)
    (found**2).sum().backward()
    deviation = found[:, 32:64].detach()
    torch.testing.assert_close(deviation, torch.full((2, 32), EPSILON**0.5))
    gradients = [features.grad, *(w.grad for w in encoder.parameters())]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_every_weight_learns():
    """From emotions and from speakers."""
    encoder, classifier = MEnANEncoder(), MEnANClassifier(4)
    features, lengths = padded(40, 80)
    loss = torch.nn.functional.cross_entropy(
        classifier(encoder(features, lengths)), torch.tensor([0, 3])
    )
    loss.backward()
    for weight in [*encoder.parameters(), *classifier.parameters()]:
        assert weight.grad.abs().max() > 0


def test_bfloat16_autocast():
    """Embeddings are in float32, finite, and those of full precision."""
    torch.manual_seed(1)
    encoder = MEnANEncoder()
    features, lengths = padded(40, 300, 22)
    expected = encoder(features, lengths).detach()
    with torch.autocast("cpu", torch.bfloat16):
        found = encoder(features, lengths)
        assert MEnANClassifier(4)(found).isfinite().all()
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.detach(), expected, atol=0.02, rtol=0.02)
    assert not torch.equal(found.detach(), expected)
    found.sum().backward()
    for weight in encoder.parameters():
        assert weight.dtype == torch.float32 and weight.grad.isfinite().all()


# The memory of SC


def add(memory, *numbers):
    """Adds a batch: utterance n is [n, -n] of speaker n."""
    vectors = torch.tensor([[float(n), float(-n)] for n in numbers])
    memory.add(vectors.reshape(-1, 2), torch.tensor(numbers, dtype=torch.long))


def held(memory):
    """The numbers that it holds, checked to belong together."""
    vectors, speakers = memory.held()
    assert vectors.shape == (len(speakers), 2)
    assert vectors[:, 0].tolist() == (-vectors[:, 1]).tolist()
    assert vectors[:, 0].tolist() == speakers.tolist()
    return speakers.tolist()


def test_memory_holds_the_last_in_order():
    """The oldest fall out, whatever the size of a batch; speaker 0 counts."""
    memory = EmbeddingMemory(size=4, dim=2)
    assert held(memory) == []
    given = []
    for batch in [(0,), (1, 2), (), (0, 3), (4,), (5, 6, 7), (1, 0, 2, 8)]:
        add(memory, *batch)
        given += batch
        assert held(memory) == given[-4:]
    add(memory, 9, 8, 7, 6, 5, 4)
    assert held(memory) == [7, 6, 5, 4]


@pytest.mark.parametrize("size", [0, 1])
def test_smallest_memories(size):
    """Of no size it holds nothing, and takes what comes."""
    memory = EmbeddingMemory(size, 2)
    for batch in ((1, 2, 3), (), (4,)):
        add(memory, *batch)
    assert held(memory) == [4][:size]
    assert memory.held()[0].shape == (size, 2)


@pytest.mark.parametrize("batches", [[(1,)], [(1, 2, 3), (4, 5)]])
def test_memory_goes_on_from_a_checkpoint(batches):
    """Partly filled or full, it is the same and forgets in the same order."""
    memory, other = EmbeddingMemory(4, 2), EmbeddingMemory(4, 2)
    for batch in batches:
        add(memory, *batch)
    saved = {k: v.clone() for k, v in memory.state_dict().items()}
    assert list(saved) == ["embeddings", "speakers"]
    add(memory, 6, 7)
    add(other, 9, 9, 9, 9)
    other.load_state_dict(saved)
    add(other, 6, 7)
    assert held(other) == held(memory)
    assert not list(memory.parameters())


def test_memory_keeps_no_gradient():
    """Nor changes what it gave, nor what it was given."""
    memory = EmbeddingMemory(2, 2)
    vectors = torch.ones(1, 2, requires_grad=True)
    memory.add(2 * vectors, torch.tensor([2]))
    given, _ = memory.held()
    assert not given.requires_grad and not memory.embeddings.requires_grad
    add(memory, 3, 4)
    assert given.tolist() == [[2, 2]]
    new = torch.zeros(1, 2)
    memory.add(new, torch.tensor([0]))
    new += 5
    assert memory.held()[0].tolist() == [[4, -4], [0, 0]]
    memory.held()[0].add_(1)
    assert memory.held()[0].tolist() == [[4, -4], [0, 0]]


def test_memory_takes_half_precision():
    """What autocast made is kept in float32."""
    memory = EmbeddingMemory(2, 1)
    memory.add(torch.tensor([[1.5]], dtype=torch.bfloat16), torch.tensor([1]))
    vectors, _ = memory.held()
    assert vectors.dtype == torch.float32 and vectors.tolist() == [[1.5]]


# What SC sees


@pytest.mark.parametrize("n", [2, 16])
@pytest.mark.parametrize("epsilon", [1e-5, 0.1])
def test_standardised_equals_float64(n, epsilon):
    """Each dimension by its mean and its variance, over n and not n - 1."""
    values = draw(n, 5) * torch.tensor([1, 30, 0.1, 1e-3, 2]) + 3
    found = standardised(values, epsilon).numpy()
    x = values.numpy()
    mean = x.sum(axis=0) / n
    variance = ((x - mean) ** 2).sum(axis=0) / n
    expected = (x - mean) / np.sqrt(variance + epsilon)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    if epsilon == 1e-5:
        assert np.array_equal(standardised(values).numpy(), found)


def test_scale_and_place_change_nothing():
    """Of each dimension: nothing is gained by making one small."""
    vectors = draw(16, 3).float()
    scale = torch.tensor([0.1, 1.0, 100.0])
    moved = standardised(scale * vectors + torch.tensor([5.0, 0.0, -20.0]))
    torch.testing.assert_close(moved, standardised(vectors), atol=2e-3, rtol=0)
    # up to the epsilon: what is smaller than it can be seen is no speaker
    assert standardised(1e-5 * vectors).abs().max() < 0.02


def test_single_utterance_and_constants_are_zero():
    """And have a finite gradient."""
    for vectors in (draw(1, 3), torch.full((4, 3), 7.0)):
        vectors.requires_grad_()
        found = standardised(vectors)
        (found * torch.arange(3)).sum().backward()
        assert found.abs().max() == 0 and vectors.grad.isfinite().all()


def test_standardised_gradient_equals_finite_differences():
    """Through mean and deviation, not only through the centred values."""
    vectors, weights = draw(4, 2), draw(4, 2, seed=2)
    given = vectors.clone().requires_grad_()
    (standardised(given) * weights).sum().backward()
    slopes = torch.zeros(4, 2, dtype=torch.float64)
    for i in range(4):
        for j in range(2):
            change = torch.zeros(4, 2, dtype=torch.float64)
            change[i, j] = 1e-6
            more, less = (
                (standardised(vectors + sign * change) * weights).sum()
                for sign in (1, -1)
            )
            slopes[i, j] = (more - less) / 2e-6
    torch.testing.assert_close(given.grad, slopes, atol=1e-8, rtol=1e-6)
    # a step that scales the batch changes nothing
    centred = vectors - vectors.mean(dim=0)
    assert (given.grad * centred).sum().abs() < 1e-3
