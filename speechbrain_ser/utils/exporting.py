"""Whether a graph is being written down, to run elsewhere."""

import torch


def exporting():
    """Tells whether a module is traced or exported, as for ONNX.

    What is then written down holds for any batch and any numbers, so nothing
    may be decided by those at hand.

    Returns
    -------
    bool
        False under ``torch.compile``, which looks again, and in the part of
        ``torch.export`` that is done by it with ``strict=True``.

    Example
    -------
    >>> exporting()
    False
    """
    if torch.compiler.is_dynamo_compiling():
        return False  # there is_exporting is True whatever is compiled
    return torch.jit.is_tracing() or torch.compiler.is_exporting()
