"""Several batches that make one optimizer step (SpeechBrain's accumulation).

SpeechBrain takes the mean of their losses. Where each of these is a mean over
utterances, that is the loss of the one large batch if each weighs by its share
of the utterances.
"""

from speechbrain_ser.utils.distributed import world_size


def step_size(settings):
    """Returns the utterances of an optimizer step, those of all processes.

    Arguments
    ---------
    settings : dict
        With ``batch_size``, that of a process, and perhaps SpeechBrain's
        ``grad_accumulation_factor``.

    Returns
    -------
    int

    Example
    -------
    >>> step_size({"batch_size": 8, "grad_accumulation_factor": 4})
    32
    """
    parts = settings.get("grad_accumulation_factor", 1)
    return settings["batch_size"] * parts * world_size()


def part_weights(steps):
    """Returns what the batches of each optimizer step weigh, mean 1 in a step.

    Arguments
    ---------
    steps : iterable of list
        Of each step its batches.

    Returns
    -------
    list of float

    Example
    -------
    >>> part_weights([[[1, 2], [3, 4]], [[5, 6, 7], [8]]])
    [1.0, 1.0, 1.5, 0.5]
    """
    weights = []
    for parts in steps:
        total = sum(map(len, parts))
        weights += [len(parts) * len(part) / total for part in parts]
    return weights
