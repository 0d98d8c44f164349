"""Numbers that are none: NaN and infinite values of tensors."""

import torch

SHOWN = 3  # names that a sentence has


def not_finite(tensors):
    """Names the tensors that hold NaN or infinite values.

    Arguments
    ---------
    tensors : dict
        Name to tensor, such as a state dict.

    Returns
    -------
    list of str

    Example
    -------
    >>> not_finite({"a": torch.ones(2), "b": torch.tensor([1.0, torch.nan])})
    ['b']
    """
    by_device = {}
    for name, value in tensors.items():
        if value.is_floating_point():
            fit = torch.isfinite(value).all()
            by_device.setdefault(value.device, []).append((name, fit))
    return [
        name
        for found in by_device.values()
        # a GPU is waited for once
        for (name, _), fit in zip(
            found, torch.stack([fit for _, fit in found]).tolist()
        )
        if not fit
    ]


def first_of(names):
    """Names the first of some, sorted.

    Example
    -------
    >>> first_of("dabc")
    'a, b, c, ...'
    """
    names = sorted(names)
    return ", ".join(names[:SHOWN] + ["..."] * (len(names) > SHOWN))
