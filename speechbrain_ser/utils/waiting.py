"""Numbers of a device without a wait for each, and its choice of attention."""

import torch

from speechbrain_ser.utils.settings import NOTHING, Switch

# Devices whose numbers are there as soon as they are asked for.
AT_ONCE = {"cpu"}


def at_once(tensor):
    """Whether a look at a tensor's numbers costs no wait.

    Example
    -------
    >>> at_once(torch.zeros(1))
    True
    """
    return tensor.device.type in AT_ONCE


def numbers(values):
    """Returns plain numbers; a device is waited for once for all of its own.

    Arguments
    ---------
    values : list
        Of numbers and tensors of one element.

    Returns
    -------
    list
        Python's numbers, the same to the bit.

    Example
    -------
    >>> numbers([2, torch.tensor(0.5), torch.tensor(3)])
    [2, 0.5, 3]
    """
    found = list(values)
    groups = {}
    for place, value in enumerate(found):
        if isinstance(value, torch.Tensor):
            kind = value.device, value.dtype
            groups.setdefault(kind, []).append(place)
    for places in groups.values():
        held = [found[place].detach().reshape(()) for place in places]
        for place, number in zip(places, torch.stack(held).tolist()):
            found[place] = number
    return found


def on_device(tensor, device):
    """Moves a tensor, without a wait for what the device still has to do.

    Arguments
    ---------
    tensor : torch.Tensor
        Of the CPU.
    device : torch.device or str

    Returns
    -------
    torch.Tensor
    """
    return tensor.to(device, non_blocking=may_overlap(device))


def may_overlap(device):
    """Whether a copy to a device need not be waited for.

    Apple's GPUs may read memory that is given back meanwhile.

    Example
    -------
    >>> may_overlap("cuda:1"), may_overlap("mps")
    (True, False)
    """
    return torch.device(device).type == "cuda"


def indices(mask):
    """Returns where a mask of the CPU is true, ``[n]``.

    To index with it needs no wait, as a mask on a device does, whose number of
    true values nobody knows before.

    Arguments
    ---------
    mask : torch.Tensor
        Bool, ``[batch]``.

    Example
    -------
    >>> indices(torch.tensor([True, False, True]))
    tensor([0, 2])
    """
    return mask.nonzero().flatten()


def choose_attention(cudnn: Switch(counts=NOTHING) = False):
    """Says whether PyTorch may take cuDNN's attention on a GPU.

    cuDNN plans each shape that is new to it, for up to 0.2 s, and batches of
    speech have many; PyTorch's own kernels do not. Nothing else changes, and
    nothing at all on a CPU.

    Arguments
    ---------
    cudnn : bool
        True: as PyTorch has it.
    """
    torch.backends.cuda.enable_cudnn_sdp(cudnn)
