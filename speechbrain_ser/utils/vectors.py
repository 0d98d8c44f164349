"""Vectors whose direction alone counts."""

import torch

SHORTEST = 1e-4  # shorter vectors are not stretched to length 1


def precise(tensor):
    """Returns a tensor in float32 at least: half precision blurs a cosine.

    Example
    -------
    >>> precise(torch.ones(2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def unit(vectors):
    """Scales vectors to length 1, in float32 at least.

    The gradient of a direction grows as the vector gets shorter, without limit
    at zero. Below `SHORTEST` a vector is only divided by it: what it gives is
    shorter than 1, zero for zero, and no gradient grows by more than
    1 / `SHORTEST`.

    Arguments
    ---------
    vectors : torch.Tensor
        ``[..., D]``.

    Returns
    -------
    torch.Tensor
        ``[..., D]``.

    Example
    -------
    >>> unit(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[0.6000, 0.8000],
            [0.0000, 0.0000]])
    """
    return torch.nn.functional.normalize(precise(vectors), dim=-1, eps=SHORTEST)
