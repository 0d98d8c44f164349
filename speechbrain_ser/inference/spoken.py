"""Whether speakers say enough to be standardised by it."""

import collections

LEAST = 10  # utterances of mixed emotions; of one nothing is left


def few_spoken(speakers):
    """Says whose statistics mean little.

    Arguments
    ---------
    speakers : iterable of str
        Of each utterance.

    Returns
    -------
    str or None
        A sentence, if there are such speakers.

    Example
    -------
    >>> few_spoken(["a"] * 10) is None
    True
    >>> few_spoken(["a"] * 10 + ["b"])
    '1 of 2 speakers has fewer than 10 utterances: ...'
    """
    counts = collections.Counter(speakers)
    few = sum(count < LEAST for count in counts.values())
    if not few:
        return None
    verb = "has" if few == 1 else "have"
    return (
        f"{few} of {len(counts)} speakers {verb} fewer than {LEAST} utterances: "
        "standardised by so few, and all of one emotion at worst, their labels "
        "mean little; leave --speakers out, or give --speakers all"
    )
