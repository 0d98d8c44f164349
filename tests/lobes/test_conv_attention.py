"""The encoder of Cai et al. 2021 against loops in float64 and torch's layers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from speechbrain_ser.lobes.conv_attention import (
    ConvAttentionEncoder,
    GlobalAttention,
)
from speechbrain_ser.lobes.features import fixed_length
from tests.references import dann as reference

# 21 frames: 9 after the convolution, 4 pooled, one of the 9 is dropped
TINY = {
    "n_mels": 3,
    "n_frames": 21,
    "filters": 5,
    "kernel_size": 4,
    "stride": 2,
    "pool_size": 2,
}


def make(**settings):
    """An encoder in float64."""
    torch.manual_seed(1)
    return ConvAttentionEncoder(**(TINY | settings)).double()


def arrays(encoder):
    """Kernel, bias and query for the reference."""
    held = (
        encoder.conv.weight,
        encoder.conv.bias,
        encoder.attention.query,
    )
    return [p.detach().numpy() for p in held]


def plain(encoder, features):
    """The same from torch's own layers, one after the other."""
    size, stride = encoder.conv.kernel_size, encoder.conv.stride
    conv = torch.nn.Conv1d(features.shape[2], encoder.conv.out_channels, size)
    conv.stride = stride
    conv = conv.to(features.dtype)
    conv.load_state_dict(encoder.conv.state_dict())
    frames = torch.relu(conv(features.transpose(1, 2)))
    pooled = torch.nn.MaxPool1d(encoder.pool_size)(frames)
    query = encoder.attention.query.detach()
    weights = torch.softmax((query[:, None] * pooled).sum(dim=1), dim=1)
    attentive = (weights[:, None] * pooled).sum(dim=2, keepdim=True)
    everything = torch.cat([pooled, attentive], dim=2)
    return frames, pooled, everything.transpose(1, 2).flatten(1)


def test_sizes_of_the_paper():
    """247 frames after the convolution, 8 pooled, 9 x 200 = 1800."""
    assert (750 - 10) // 3 + 1 == 247 and 247 // 30 == 8
    torch.manual_seed(1)
    encoder = ConvAttentionEncoder().double()
    features = torch.randn(2, 750, 26, dtype=torch.float64)
    frames, pooled, expected = plain(encoder, features)
    assert frames.shape == (2, 200, 247) and pooled.shape == (2, 200, 8)
    found = encoder(features)
    assert found.shape == (2, 1800) and encoder.dim == 1800
    assert encoder.n_pooled == 8
    torch.testing.assert_close(
        encoder.pooled(features), pooled.transpose(1, 2), atol=1e-12, rtol=0
    )
    # the weights of Eq. 1 are float32
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    shapes = {name: tuple(p.shape) for name, p in encoder.named_parameters()}
    assert shapes == {
        "conv.weight": (200, 26, 10),
        "conv.bias": (200,),
        "attention.query": (200,),
    }


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"stride": 1, "pool_size": 3},
        {"stride": 5, "kernel_size": 3, "pool_size": 2},
        {"kernel_size": 1, "stride": 1, "pool_size": 21},
        {"kernel_size": 21, "pool_size": 1},
        {"n_mels": 1, "filters": 1},
    ],
)
def test_encoder_is_the_reference(sizes):
    """Frames that no window or no pool holds whole are dropped."""
    encoder = make(**sizes)
    features = torch.randn(
        3, *encoder.shape, dtype=torch.float64, requires_grad=True
    )
    found = encoder(features)
    for x, row in zip(features.detach().numpy(), found.detach().numpy()):
        expected = reference.encode(
            x, *arrays(encoder), encoder.conv.stride[0], encoder.pool_size
        )
        assert len(expected) == encoder.dim
        np.testing.assert_allclose(row, expected, atol=1e-6)


def padded(counts, encoder):
    """Utterances of so many frames, then their minimum."""
    torch.manual_seed(2)
    n_frames, n_mels = encoder.shape
    return torch.stack(
        [
            fixed_length(torch.randn(n, n_mels, dtype=torch.float64), n_frames)
            for n in counts
        ]
    )


@pytest.mark.parametrize(
    "sizes",
    [
        {},
        {"stride": 1, "pool_size": 3},
        {"stride": 5, "kernel_size": 3, "pool_size": 2},
        {"stride": 3, "kernel_size": 2, "pool_size": 2},
        {"kernel_size": 1, "stride": 1, "pool_size": 21},
    ],
)
def test_padded_utterances_of_all_lengths(sizes):
    """One window of the padding stands for all: values and gradients."""
    encoder = make(**sizes)
    features = padded(range(1, 22), encoder)
    upstream = torch.randn(21, encoder.dim, dtype=torch.float64)
    found, expected = [], []
    for held, encode in (
        (found, encoder),
        (expected, lambda x: plain(encoder, x)[2]),
    ):
        x = features.clone().requires_grad_()
        outputs = encode(x)
        slopes = torch.autograd.grad((outputs * upstream).sum(), x)
        held.extend([outputs, *slopes])
    torch.testing.assert_close(found[0], expected[0], atol=1e-6, rtol=0)
    # a maximum of equal windows may give its gradient to any of them
    torch.testing.assert_close(
        found[1].sum(dim=(1, 2)), expected[1].sum(dim=(1, 2)), atol=1e-5, rtol=0
    )
    together = encoder(features)
    for row, x in zip(together, features):
        torch.testing.assert_close(row, encoder(x[None])[0])


def test_kernel_learns_from_the_padding_too():
    """Kernel, bias and query of padded utterances, by torch's own layers."""
    encoder = make()
    features = padded([1, 2, 4, 5, 8, 9, 13, 17, 21], encoder)
    upstream = torch.randn(9, encoder.dim, dtype=torch.float64)
    (encoder(features) * upstream).sum().backward()
    expected = gradients_by_layers(encoder, features, upstream)
    for name, parameter in encoder.named_parameters():
        torch.testing.assert_close(
            parameter.grad, expected[name], atol=1e-5, rtol=1e-5
        )


def test_what_is_computed():
    """A pooled frame that begins before the end of the speech."""
    encoder = make()
    counts = [1, 4, 5, 8, 9, 12, 13, 21]
    found = encoder.holds_speech(padded(counts, encoder))
    # 2 windows of every second frame: they begin at 0, 4, 8 and 12
    expected = [[start < n for start in (0, 4, 8, 12)] for n in counts]
    # one frame is its own minimum, all of it is padding
    expected[0] = [False] * 4
    assert found.tolist() == expected


@pytest.mark.parametrize("content", [0.0, float("nan")])
def test_nothing_but_one_number(content):
    """Silence is padding; NaN is none, and stays where it is."""
    encoder = make()
    features = torch.full((2, 21, 3), content, dtype=torch.float64)
    features[1] = torch.randn(21, 3)
    found = encoder(features)
    expected = plain(encoder, features)[2]
    torch.testing.assert_close(
        found, expected, equal_nan=True, atol=1e-6, rtol=0
    )
    assert found[1].isfinite().all()


@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_eq_1_and_2(scale):
    """Weights and vector; a large query asks for one frame, none for all."""
    torch.manual_seed(1)
    attention = GlobalAttention(4).double()
    attention.query.data *= scale
    frames = torch.randn(3, 7, 4, dtype=torch.float64)
    vectors, weights = attention.attend(frames)
    assert torch.equal(vectors, attention(frames))
    for x, vector, row in zip(frames, vectors, weights):
        s, a_f = reference.attention(
            x.numpy(), attention.query.detach().numpy()
        )
        np.testing.assert_allclose(row.detach().numpy(), s, atol=1e-6)
        np.testing.assert_allclose(vector.detach().numpy(), a_f, atol=1e-6)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(3).double())


def test_query_begins_small_and_random():
    """Scores of the size of a frame's numbers, whatever their count."""
    torch.manual_seed(1)
    query = GlobalAttention(10_000).query.detach()
    assert query.std().item() == pytest.approx(0.01, rel=0.05)
    assert abs(query.mean().item()) < 1e-3


@pytest.mark.parametrize("content", [0.0, 1e6, float("inf"), float("nan")])
def test_padding_changes_nothing(content):
    """Any content behind the end: vector, weights and all gradients."""
    torch.manual_seed(1)
    attention = GlobalAttention(4).double()
    counts = [5, 1, 3]
    frames = torch.randn(3, 5, 4, dtype=torch.float64)
    found = []
    for longest in (5, 12):
        x = torch.full((3, longest, 4), content, dtype=torch.float64)
        for row, given, n in zip(x, frames, counts):
            row[:n] = given[:n]
        x.requires_grad_()
        attention.query.grad = None
        vectors, weights = attention.attend(x, torch.tensor(counts) / longest)
        (vectors**2).sum().backward()
        for row, n in zip(weights, counts):
            assert (row[n:] == 0).all()
        kept = [row[:n] for row, n in zip(x.grad, counts)]
        found.append((vectors, attention.query.grad, *kept))
    for one, other in zip(*found):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)
    for given, n, vector in zip(frames, counts, found[0][0]):
        query = attention.query.detach().numpy()
        _, expected = reference.attention(given[:n].numpy(), query)
        np.testing.assert_allclose(vector.detach().numpy(), expected, atol=1e-6)


def test_all_frames_are_the_default():
    """No lengths, and lengths of 1."""
    attention = GlobalAttention(4)
    frames = torch.randn(2, 6, 4)
    assert torch.equal(attention(frames), attention(frames, torch.ones(2)))


def test_permuted_batch():
    """Utterances know nothing of each other."""
    encoder = make()
    features = torch.randn(4, *encoder.shape, dtype=torch.float64)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        encoder(features)[order], encoder(features[order])
    )
    torch.testing.assert_close(encoder(features[:1]), encoder(features)[:1])


def gradients_by_layers(encoder, features, upstream):
    """Of the parameters, name to tensor, by torch's own layers."""
    held = {
        name: p.detach().clone().requires_grad_()
        for name, p in encoder.named_parameters()
    }
    frames = F.conv1d(
        features.transpose(1, 2),
        held["conv.weight"],
        held["conv.bias"],
        stride=encoder.conv.stride,
    )
    pooled = F.max_pool1d(F.relu(frames), encoder.pool_size).transpose(1, 2)
    weights = torch.softmax(pooled @ held["attention.query"], dim=1)
    attentive = (weights.unsqueeze(2) * pooled).sum(dim=1, keepdim=True)
    outputs = torch.cat([pooled, attentive], dim=1).flatten(1)
    slopes = torch.autograd.grad((outputs * upstream).sum(), held.values())
    return dict(zip(held, slopes))


def test_everything_learns():
    """Kernel, bias and query get the gradients of torch's own layers."""
    encoder = make()
    features = torch.randn(4, *encoder.shape, dtype=torch.float64)
    upstream = torch.randn(4, encoder.dim, dtype=torch.float64)
    (encoder(features) * upstream).sum().backward()
    expected = gradients_by_layers(encoder, features, upstream)
    for name, parameter in encoder.named_parameters():
        assert parameter.grad.abs().max() > 0
        torch.testing.assert_close(
            parameter.grad, expected[name], atol=1e-5, rtol=1e-5
        )


def test_gradient_by_finite_differences(monkeypatch):
    """Of a tiny encoder, by features, kernel, bias and query."""
    # Eq. 1 in float64 too: float32 is too coarse for differences
    monkeypatch.setattr(torch.Tensor, "float", lambda self: self)
    encoder = make(n_mels=2, n_frames=9, filters=2)
    features = torch.randn(2, 9, 2, dtype=torch.float64, requires_grad=True)
    names, given = zip(*encoder.named_parameters())

    def encode(features, *parameters):
        """The encoder as a function of its parameters."""
        held = dict(zip(names, parameters))
        return torch.func.functional_call(encoder, held, features)

    assert torch.autograd.gradcheck(encode, (features, *given))


@pytest.mark.parametrize(
    "shape", [(2, 20, 3), (2, 22, 3), (2, 21, 4), (21, 3), (2, 3, 21)]
)
def test_wrong_sizes_are_refused(shape):
    """With what is needed and what was given."""
    with pytest.raises(ValueError, match=r"\[batch, 21, 3\], got.*fixed_len"):
        make()(torch.zeros(shape, dtype=torch.float64))


def test_too_few_frames_are_refused():
    """Those for one pooled frame are enough, one fewer is not."""
    assert make(n_frames=6).n_pooled == 1
    with pytest.raises(ValueError, match="5 frames are too few"):
        make(n_frames=5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_finite_in_half_precision(dtype):
    """Near float32, with finite gradients; both as autocast and cast whole."""
    torch.manual_seed(1)
    encoder = ConvAttentionEncoder(**TINY)
    features = 3 * torch.randn(4, *encoder.shape)
    expected = encoder(features)
    with torch.autocast("cpu", dtype):
        found = encoder(features)
        found.float().square().sum().backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())
    assert found.dtype == dtype
    torch.testing.assert_close(found.float(), expected, atol=0.1, rtol=0.05)
    whole = encoder.to(dtype)(features.to(dtype))
    assert whole.dtype == dtype
    torch.testing.assert_close(whole.float(), expected, atol=0.1, rtol=0.05)


def test_no_utterance_at_all():
    """A process may get none."""
    encoder = make()
    found = encoder(torch.zeros(0, *encoder.shape, dtype=torch.float64))
    assert found.shape == (0, encoder.dim)


def test_gradient_of_a_padding_is_that_of_the_plain_layers():
    """Where padding counts as frames, as in the paper, it has a gradient."""
    encoder = make()
    features = padded((21, 12, 5), encoder).requires_grad_()
    upstream = torch.randn(3, encoder.dim, dtype=torch.float64)
    (found,) = torch.autograd.grad(
        (encoder(features) * upstream).sum(), features
    )
    *_, expected = plain(encoder, features)
    (by_layers,) = torch.autograd.grad((expected * upstream).sum(), features)
    torch.testing.assert_close(found, by_layers, atol=1e-6, rtol=0)


def test_with_lengths_padding_is_the_minimum_and_has_no_gradient():
    """Whatever stands there: the embedding of what section 3.3 pads."""
    encoder, counts = make(), (21, 12, 5)
    features = padded(counts, encoder)
    expected = encoder(features)
    other = features.clone()
    for row, n in zip(other, counts):
        row[n:] = torch.nan
    other.requires_grad_()
    found = encoder(other, torch.tensor(counts) / 21)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    found.sum().backward()
    for row, n in zip(other.grad, counts):
        assert (row[n:] == 0).all() and row[:n].isfinite().all()
