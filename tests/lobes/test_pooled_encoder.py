"""The light encoder, and what an adversary sees, against NumPy."""

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes.conditional import OuterProduct, seen_size
from speechbrain_ser.lobes.pooled_encoder import PooledEncoder


def test_without_hidden_layers_it_is_linear():
    """The map of its one layer; dropout only in training."""
    torch.manual_seed(1)
    encoder = PooledEncoder(6, 4, [], 0.5)
    (layer,) = (m for m in encoder.modules() if hasattr(m, "weight"))
    vectors = torch.randn(5, 6)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    expected = vectors.numpy() @ weight.T + bias
    found = encoder.eval()(vectors).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not torch.equal(encoder.train()(vectors), encoder(vectors))


def test_each_layer_drops_before_it_and_bends_behind_it():
    """The hidden one; the last one does not bend."""
    torch.manual_seed(2)
    encoder = PooledEncoder(6, 4, [9], 0.25).eval()
    kinds = [type(layer).__name__ for layer in encoder.layers]
    assert kinds == ["Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    one, other = (m for m in encoder.layers if hasattr(m, "weight"))
    x = np.random.default_rng(1).normal(size=(3, 6)).astype("float32")
    hidden = np.maximum(
        x @ one.weight.detach().numpy().T + one.bias.tolist(), 0
    )
    expected = hidden @ other.weight.detach().numpy().T + other.bias.tolist()
    found = encoder(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (found < 0).any() and encoder.dim == 4
    assert {m.p for m in encoder.layers if hasattr(m, "p")} == {0.25}


def test_the_product_is_each_number_with_each_posterior():
    """Class after class, by loops (Long et al. 2018, Eq. 5)."""
    draw = np.random.default_rng(3)
    x, p = draw.normal(size=(4, 5)), draw.dirichlet([1, 1, 1], size=4)
    found = OuterProduct()(torch.tensor(x), torch.tensor(p))
    for i in range(4):
        row = [p[i, c] * x[i, d] for c in range(3) for d in range(5)]
        np.testing.assert_allclose(found[i].numpy(), row, rtol=1e-12)
    assert found.shape[1] == seen_size("conditional", 5, 3)


def test_its_gradient_is_of_the_embedding_alone():
    """Each number gets its products' gradients, weighed by the posteriors."""
    x = torch.randn(2, 3, requires_grad=True)
    p = torch.rand(2, 2, requires_grad=True)
    slope = torch.randn(2, 6)
    (OuterProduct()(x, p) * slope).sum().backward()
    assert p.grad is None
    expected = p[:, :1] * slope[:, :3] + p[:, 1:] * slope[:, 3:]
    torch.testing.assert_close(x.grad, expected.detach())


@pytest.mark.parametrize("adversary, size", [("plain", 7), ("conditional", 28)])
def test_what_an_adversary_sees_is_as_large(adversary, size):
    """The embedding, or it once for each class."""
    assert seen_size(adversary, 7, 4) == size
