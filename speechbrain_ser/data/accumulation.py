"""Several batches that make one optimizer step (SpeechBrain's accumulation).

SpeechBrain takes the mean of their losses. Where each of these is a mean over
utterances, that is the loss of the one large batch if each weighs by its share
of the utterances.
"""


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
