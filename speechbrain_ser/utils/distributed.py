"""A batch that is spread over processes, seen whole by each of them."""

import datetime
import functools

import torch

from speechbrain.utils.distributed import (
    if_main_process,
    is_distributed_initialized,
)


def world_size():
    """Returns the number of training processes (1 without torchrun)."""
    if not is_distributed_initialized():
        return 1
    return torch.distributed.get_world_size()


def gather_batch(tensor):
    """Concatenates a tensor of all processes along its first dimension.

    The gradient flows into this process's own part only. So a loss computed on
    what this returns, times :func:`world_size`, gives after DDP's averaging
    exactly the gradient that one process with the whole batch would get.

    Arguments
    ---------
    tensor : torch.Tensor
        ``[n, ...]``; `n` may differ between the processes, 0 included.

    Returns
    -------
    torch.Tensor
        ``[sum of n, ...]`` in order of rank; the tensor itself when there is
        only one process.

    Example
    -------
    >>> gather_batch(torch.ones(2, 3)).shape
    torch.Size([2, 3])
    """
    if world_size() == 1:
        return tensor
    sizes = [torch.zeros(1, dtype=torch.long) for _ in range(world_size())]
    sizes = [size.to(tensor.device) for size in sizes]
    own = torch.tensor([len(tensor)], device=tensor.device)
    torch.distributed.all_gather(sizes, own)
    longest = int(max(sizes))
    padded = tensor.new_zeros(longest, *tensor.shape[1:])
    padded[: len(tensor)] = tensor.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    torch.distributed.all_gather(parts, padded)
    parts = [part[: int(size)] for part, size in zip(parts, sizes)]
    parts[torch.distributed.get_rank()] = tensor
    return torch.cat(parts)


def sum_over_processes(tensor):
    """Returns the sum of a tensor of all processes, without a gradient.

    Example
    -------
    >>> sum_over_processes(torch.ones(2))
    tensor([1., 1.])
    """
    total = tensor.detach().clone()
    if world_size() > 1:
        torch.distributed.all_reduce(total)
    return total


def mean_over_processes(total, count):
    """Returns a mean over what all processes hold, to be trained on.

    Arguments
    ---------
    total : torch.Tensor
        The sum over what this process holds, a scalar.
    count : int or torch.Tensor
        How much that is; it may be 0.

    Returns
    -------
    torch.Tensor
        The mean times :func:`world_size`, with the gradient of this process's
        part: after DDP's averaging it is that of one process with all of it.

    Example
    -------
    >>> mean_over_processes(torch.tensor(6.0), 3)
    tensor(2.)
    """
    held = total.detach()
    if isinstance(count, torch.Tensor):
        count = count.to(held)
    else:  # no copy from the CPU, which would be waited for
        count = torch.full_like(held, float(count))
    shared = torch.stack([held, count])
    shared = sum_over_processes(shared)
    count = shared[1].clamp(min=1)
    mean = total / count
    # the value of all processes, to the bit; the gradient of this one's part
    return world_size() * (shared[0] / count + (mean - mean.detach()))


@functools.lru_cache(maxsize=None)
def _patient_group():
    """A group of all processes that wait for each other for a month."""
    return torch.distributed.new_group(
        backend="gloo", timeout=datetime.timedelta(days=30)
    )


def wait_for_all():
    """Waits until all processes are here, however long one of them computes."""
    if world_size() > 1:
        torch.distributed.barrier(_patient_group())


def on_main(work, *args):
    """Lets the main process do something, for which the others wait.

    Arguments
    ---------
    work : callable
        What it returns is lost.
    *args : tuple
        Its arguments.

    Example
    -------
    >>> on_main(print, "once")
    once
    """
    if if_main_process():
        work(*args)
    wait_for_all()
