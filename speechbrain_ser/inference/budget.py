"""The memory that a model may ask for while it is built: that of its weights."""

import math

import torch
from torch.overrides import TorchFunctionMode

from speechbrain_ser.utils.errors import InputError

LEAST = 1 << 26  # bytes that any model may ask for
TIMES = 4  # as many as its weights have
OF_ONE = 1 << 12  # bytes that a tensor counts for at least
SIZED = (torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn)
LIKE = (torch.empty_like, torch.zeros_like, torch.ones_like, torch.randn_like)
COUNTED = (torch.hann_window, torch.hamming_window, torch.eye)


class Budget(TorchFunctionMode):
    """Refuses tensors once they are larger together than they may be.

    A description of a few bytes may ask for a layer of terabytes, which ends
    the process, or the machine, before its weights are seen not to fit.

    Arguments
    ---------
    weights : int
        Bytes of the file of weights.

    Example
    -------
    >>> with Budget(weights=1000):
    ...     torch.nn.Linear(100000, 100000)
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: it asks for more memory than ...
    """

    def __init__(self, weights):
        super().__init__()
        self.left = max(LEAST, TIMES * weights)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Counts what a call will take, then calls."""
        kwargs = kwargs or {}
        if str(kwargs.get("device")) != "meta":
            self.left -= wanted(func, args, kwargs)
        if self.left < 0:
            raise InputError("it asks for more memory than its weights are of")
        return func(*args, **kwargs)


def wanted(func, args, kwargs):
    """Returns the bytes that a call of torch will take; 0 where unknown.

    Example
    -------
    >>> wanted(torch.empty, (5000, 2), {}), wanted(torch.add, (1, 2), {})
    (40000, 0)
    """
    numbers = numbers_of(func, args, kwargs)
    return max(4 * numbers, OF_ONE) if numbers else 0


def numbers_of(func, args, kwargs):
    """Returns how many numbers a call will make; 0 where unknown."""
    if func in SIZED or func is torch.full:
        size = kwargs.get("size", args[:1] if func is torch.full else args)
        if len(size) == 1 and isinstance(size[0], (tuple, list)):
            size = size[0]
        return math.prod(int(n) for n in size)
    if func in LIKE:
        made_up = args[0].is_meta and kwargs.get("device") is None
        return 0 if made_up else args[0].numel()
    if func is torch.Tensor.repeat:
        times = args[1] if isinstance(args[1], (tuple, list)) else args[1:]
        return args[0].numel() * math.prod(times)
    if func is torch.linspace:
        return int(kwargs.get("steps", args[2] if len(args) > 2 else 0))
    if func is torch.eye and len(args) == 1:
        return int(args[0]) ** 2
    if func in COUNTED:
        return math.prod(n for n in args if isinstance(n, int))
    return 0
