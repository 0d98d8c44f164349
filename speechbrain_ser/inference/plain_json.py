"""JSON from somebody else: small, shallow, and said back in short."""

import json

LARGEST = 1 << 22  # bytes
DEEPEST = 50
MOST = 100_000  # values
LARGEST_NUMBER = 1 << 53  # whole ones that every reader of JSON knows


def read_plain(path):
    """Reads a JSON file that may be anything.

    Arguments
    ---------
    path : str

    Returns
    -------
    object
        Plain; its words can be printed.

    Raises
    ------
    OSError
        If it can't be read.
    ValueError
        If it is no JSON, too large, or nested too deep.
    """
    with open(path, "rb") as file:
        text = file.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise ValueError("it is larger than 4 MB")
    try:
        value = json.loads(text.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    check_size(value)
    return value


def check_size(value):
    """Refuses values that are nested too deep, or too many.

    Example
    -------
    >>> check_size({"a": [1, [2]]})
    >>> check_size([0] * 200000)
    Traceback (most recent call last):
    ValueError: it holds more than 100000 values
    """
    level, seen = [value], 0
    for _ in range(DEEPEST):
        below = []
        for each in level:
            if isinstance(each, dict):
                below += [*each.values(), *each]
            elif isinstance(each, list):
                below += each
            elif isinstance(each, str) and not printable(each):
                raise ValueError(f"it has the word {shown(each)}")
            elif isinstance(each, int) and abs(each) > LARGEST_NUMBER:
                raise ValueError(f"it has the number {shown(each)}")
        seen += len(below)
        if seen > MOST:
            raise ValueError(f"it holds more than {MOST} values")
        if not below:
            return
        level = below
    raise ValueError("it is nested too deep")


def printable(word):
    """Whether a terminal shows a word as it is; it may have several lines."""
    return all(c.isprintable() or c in "\n\t\u00a0" for c in word)


def shown(value, most=80):
    """Says a value of somebody else's in one short line.

    Example
    -------
    >>> (
    ...     shown("happy"),
    ...     shown(["a", 2]),
    ...     shown("\\x1b[31m"),
    ...     shown("no\\nway", 5),
    ... )
    ('happy', "['a', 2]", '\\\\x1b[31m', 'n ...')
    """
    text = str(value)
    text = text if text.isprintable() else ascii(text)[1:-1]
    return text if len(text) <= most else f"{text[: most - 4]} ..."
