"""What stands in the columns of a manifest: words, numbers, votes."""

import re

from speechbrain_ser.corpora.release import finite
from speechbrain_ser.utils.audio_files import MIX

SPLITS = {
    "train": ("train", "training"),
    "valid": ("valid", "validation", "val", "dev", "development"),
    "test": ("test", "testing", "eval", "evaluation"),
    "unlabelled": ("unlabelled", "unlabeled"),
}
GENDERS = {"F": ("f", "female", "woman"), "M": ("m", "male", "man")}
_BETWEEN_VOTES = re.compile(r"[\s,;|/]+")


class Text:
    """Any text.

    Example
    -------
    >>> Text()("2")
    '2'
    """

    what = "a word"

    def __call__(self, text):
        """Returns it as it is."""
        return text


class OneWord:
    """One of some words, which may be written in several ways.

    Arguments
    ---------
    words : dict
        Word -> how it is written, in small letters.
    others : bool
        Whether other words are fit too.

    Example
    -------
    >>> split = OneWord(SPLITS)
    >>> split("Dev"), split("held out")
    ('valid', None)
    """

    def __init__(self, words, others=False):
        self.meant = {
            each: w for w, written in words.items() for each in written
        }
        self.others = others
        self.what = f"one of {', '.join(words)}"

    def __call__(self, text):
        """Returns the word that is meant; None if it is none of them."""
        return self.meant.get(text.lower(), text if self.others else None)


class Decimal:
    """A number.

    Arguments
    ---------
    low : float, optional
    high : float, optional
        Then per cent (``95%``) are fit too.

    Example
    -------
    >>> Decimal(0, 1)("95%"), Decimal(0, 1)("95"), Decimal()("-2e3")
    (0.95, None, -2000.0)
    """

    def __init__(self, low=None, high=None):
        self.low, self.high = low, high
        self.what = "a number"
        if high is not None:
            self.what = f"a share from {low:g} to {high:g}, or per cent with %"
        elif low is not None:
            self.what = f"a number from {low:g}"

    def __call__(self, text):
        """Returns the number; None if it is none, or out of range."""
        share = self.high is not None and text.endswith("%")
        value = finite(text.removesuffix("%") if share else text)
        if value is None:
            return None
        value = value / 100 if share else value
        low = self.low is not None and value < self.low
        high = self.high is not None and value > self.high
        return None if low or high else value


class Channel:
    """The number of a channel, or all of them mixed.

    Example
    -------
    >>> Channel()("2"), Channel()("2.0"), Channel()("Mix"), Channel()("0")
    (2, 2, 'mix', None)
    """

    what = f"a channel's number, from 1, or {MIX} (the mean of all)"

    def __call__(self, text):
        """Returns the number, or `MIX`; None if it is neither."""
        if text.lower() == MIX:
            return MIX
        number = finite(text)  # 2.0 where a table had empty cells too
        fit = number is not None and number >= 1 and number == int(number)
        return int(number) if fit else None


class Votes:
    """The labels of each annotator.

    Blanks or any of ``, ; | /`` between annotators, + between the labels of one.

    Example
    -------
    >>> Votes()("ang neu+sad ang")
    [['ang'], ['neu', 'sad'], ['ang']]
    """

    what = "each annotator's labels, such as 'ang neu+sad ang'"

    def __call__(self, text):
        """Returns the list of lists; None if there is an empty one."""
        votes = [each.split("+") for each in _BETWEEN_VOTES.split(text.strip())]
        return votes if all(all(labels) for labels in votes) else None


# Column -> how its cells are read; None of them for what can't be meant.
CELLS = {
    "start": Decimal(0),
    "stop": Decimal(0),
    "channel": Channel(),
    "gender": OneWord(GENDERS, others=True),
    "session": Text(),
    "language": Text(),
    "split": OneWord(SPLITS),
    "intensity": Text(),
    "votes": Votes(),
    "valence": Decimal(),
    "arousal": Decimal(),
    "dominance": Decimal(),
    "agreement": Decimal(0, 1),
}
