"""Words that stand for what is not known: they are no class, and no number."""

import math

WORDS = ("", "n/a", "na", "nan", "none", "null", "unknown")
# Signs that stand alone for nothing, or around such a word.
SIGNS = "-–—?.#()<>[] \t\r\n"


def is_missing(value):
    """Whether a value says that it is not known.

    Arguments
    ---------
    value : object
        None, NaN, or one of `WORDS` in any case, also in brackets, or blanks,
        dashes and question marks alone.

    Returns
    -------
    bool

    Example
    -------
    >>> [
    ...     is_missing(v)
    ...     for v in (None, " N/A ", "--", "<unknown>", float("nan"))
    ... ]
    [True, True, True, True, True]
    >>> [is_missing(value) for value in ("neu", "Nan Li", "-1", 0, False)]
    [False, False, False, False, False]
    """
    if isinstance(value, float):
        return math.isnan(value)
    if isinstance(value, str):
        return value.strip(SIGNS).lower() in WORDS
    return value is None
