"""What a setting may be, declared beside the argument that takes it.

A declaration is the argument's annotation:

>>> def train(system: OneOf("ipr", "baseline"), alpha: Number(0, 1) = 0.5):
...     return system, alpha
>>> check(train, {"system": "ipr", "alpha": 2})
Traceback (most recent call last):
speechbrain_ser.utils.errors.InputError: --alpha is 2: give a number from 0 to 1

Recipes check all settings of their YAML file before anything is read or built;
`checked` does the same for whoever calls from Python.
"""

import functools
import inspect
import math

from speechbrain_ser.utils.errors import InputError

# What a setting can change.
RUN = "run"  # weights and predictions
REPORT = "report"  # what is made of them
NOTHING = "nothing"  # where files lie, how fast it goes


class Setting:
    """Any value; the base of all declarations.

    Arguments
    ---------
    counts : str
        What it can change: `RUN`, `REPORT` or `NOTHING`.
    """

    def __init__(self, counts=RUN):
        self.counts = counts

    def mend(self, value):
        """Returns what to give instead of a value, None if it is fit."""
        return None


class OneOf(Setting):
    """One of some words.

    Example
    -------
    >>> OneOf("hard", "soft").mend("firm")
    'give one of hard, soft'
    """

    def __init__(self, *words, counts=RUN):
        super().__init__(counts)
        self.words = words

    def mend(self, value):
        """Returns the words, if it is none of them."""
        if isinstance(value, (str, type(None))) and value in self.words:
            return None
        words = ("null" if word is None else word for word in self.words)
        return f"give one of {', '.join(words)}"


class Number(Setting):
    """A number within bounds, which belong to it.

    Arguments
    ---------
    low, high : float or None
        None: no bound.
    above, below : float or None
        Bounds that do not belong to it.
    optional : bool
        Whether null is fit too.
    counts : str

    Example
    -------
    >>> Number(0, below=1).mend(1), Number(above=0).mend(0.5)
    ('give a number from 0 to below 1', None)
    """

    kinds = (int, float)
    noun = "number"

    def __init__(
        self,
        low=None,
        high=None,
        above=None,
        below=None,
        optional=False,
        counts=RUN,
    ):
        super().__init__(counts)
        self.low, self.high = low, high
        self.above, self.below = above, below
        self.optional = optional

    def mend(self, value):
        """Returns the bounds, if it is not within them."""
        if value is None and self.optional:
            return None
        if type(value) in self.kinds and self.holds(value):
            return None
        return f"give a {self.noun}{self.bounds()}" + (
            ", or null" if self.optional else ""
        )

    def holds(self, value):
        """Whether a number is within the bounds."""
        return (
            math.isfinite(value)
            and (self.low is None or value >= self.low)
            and (self.high is None or value <= self.high)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def bounds(self):
        """Returns the bounds in words."""
        words = ""
        if self.low is not None:
            words += f" from {self.low:g}"
        if self.above is not None:
            words += f" above {self.above:g}"
        if self.high is not None:
            words += f" {'to' if words else 'up to'} {self.high:g}"
        if self.below is not None:
            words += f" {'to ' if words else ''}below {self.below:g}"
        return words


class Whole(Number):
    """A whole number within bounds.

    Example
    -------
    >>> Whole(1).mend(1.5)
    'give a whole number from 1'
    """

    kinds = (int,)
    noun = "whole number"


class Switch(Setting):
    """True or False.

    Example
    -------
    >>> Switch().mend("yes"), Switch().mend(True)
    ('give True or False', None)
    """

    def mend(self, value):
        """Returns both, if it is neither."""
        return None if isinstance(value, bool) else "give True or False"


class ListOf(Setting):
    """A list of values that are declared themselves.

    Arguments
    ---------
    item : Setting
    shortest : int
        Values that there must be.
    example : str
        A list as it is typed.
    optional : bool
        Whether null is fit too.
    counts : str

    Example
    -------
    >>> ListOf(Whole(1), example="[10, 5]").mend([0])
    'give a list in brackets, such as [10, 5] (0: give a whole number from 1)'
    """

    def __init__(
        self, item, shortest=0, example="[a, b]", optional=False, counts=RUN
    ):
        super().__init__(counts)
        self.item = item
        self.shortest = shortest
        self.example = example
        self.optional = optional

    def mend(self, value):
        """Returns an example, if it is no such list."""
        if value is None and self.optional:
            return None
        text = f"give a list in brackets, such as {self.example}"
        if not isinstance(value, (list, tuple)):
            return text
        for item in value:
            mend = self.item.mend(item)
            if mend is not None:
                return f"{text} ({item!r}: {mend})"
        if len(value) < self.shortest:
            return f"{text}, with at least {self.shortest} of them"
        return None


class Labels(ListOf):
    """Class words, each once.

    Arguments
    ---------
    counts : str
    optional : bool
        Whether null is fit too.

    Example
    -------
    >>> Labels().mend("ang")
    "give a list in brackets, such as '[ang, sad]'"
    """

    def __init__(self, counts=RUN, optional=False):
        super().__init__(Word(), 0, "'[ang, sad]'", optional, counts)

    def mend(self, value):
        """Returns an example, or which word stands twice."""
        mend = super().mend(value)
        if isinstance(value, (list, tuple)):
            others = [word for word in value if not isinstance(word, str)]
            if mend is not None and others:
                return f'{mend}; write it in quotes, as "{others[0]}"'
        if mend is None and value and len(set(value)) < len(value):
            twice = next(word for word in value if value.count(word) > 1)
            return f"give each word once ({twice} stands there twice)"
        return mend


class Word(Setting):
    """A word, or a path.

    Arguments
    ---------
    optional : bool
        Whether null is fit too.
    needed : str or None
        What it is needed for, said where it is null.
    counts : str

    Example
    -------
    >>> Word(needed="for the features").mend(None)
    'give a word (it is needed for the features)'
    """

    def __init__(self, optional=False, needed=None, counts=RUN):
        super().__init__(counts)
        self.optional = optional
        self.needed = needed

    def mend(self, value):
        """Returns what is missing, if it is no word."""
        if (value is None and self.optional) or isinstance(value, str):
            return None
        why = f" (it is needed {self.needed})" if self.needed else ""
        return f"give a word{why}"


class Values(Setting):
    """A mapping whose values are declared themselves, or null.

    Each value is checked under its own name, see `places`.

    Arguments
    ---------
    item : Setting
    counts : str
    """

    def __init__(self, item, counts=RUN):
        super().__init__(counts)
        self.item = item

    def mend(self, value):
        """Refuses what is no mapping; its values are looked at one by one."""
        fit = value is None or isinstance(value, dict)
        return None if fit else "give names and their values"


def declared(function):
    """Returns the declarations of a function's arguments.

    Arguments
    ---------
    function : callable
        Of a class its ``__init__``, and those of its bases, since arguments are
        passed up.

    Returns
    -------
    dict
        Argument to `Setting`.

    Example
    -------
    >>> def f(a, b: Whole(1), c: int = 0): ...
    >>> list(declared(f))
    ['b']
    """
    functions = [function]
    if inspect.isclass(function):
        functions = [
            vars(base)["__init__"]
            for base in reversed(function.__mro__)
            if "__init__" in vars(base)
        ]
    found = {}
    for each in functions:
        annotations = getattr(inspect.unwrap(each), "__annotations__", {})
        found |= {
            name: value
            for name, value in annotations.items()
            if isinstance(value, Setting)
        }
    return found


def check(function, arguments, names=None):
    """Refuses arguments that are not as they are declared.

    Arguments
    ---------
    function : callable
    arguments : dict
        Argument to value; those without a declaration are passed over.
    names : dict, optional
        Argument to what a user calls it; default: ``--argument``.

    Raises
    ------
    InputError
        Naming the first unfit one and what to give.
    """
    check_values(declared(function), arguments, names)


def check_values(declarations, arguments, names=None):
    """Refuses values that are not as they are declared; see `check`.

    Arguments
    ---------
    declarations : dict
        Argument to `Setting`.
    arguments : dict
    names : dict, optional
    """
    for argument, setting in declarations.items():
        if argument not in arguments:
            continue
        for place, value, item in places(setting, argument, arguments):
            mend = item.mend(value)
            if mend is not None:
                name = (names or {}).get(place, f"--{place}")
                raise InputError(f"{name} is {value!r}: {mend}")


def places(setting, argument, arguments):
    """Lists an argument's values: place, value and declaration of each.

    Example
    -------
    >>> rates = {"rates": {"encoder": 0.1}}
    >>> [place for place, *_ in places(Values(Number()), "rates", rates)]
    ['rates.encoder']
    """
    value = arguments[argument]
    if isinstance(setting, Values) and isinstance(value, dict):
        return [
            (f"{argument}.{name}", item, setting.item)
            for name, item in value.items()
        ]
    return [(argument, value, setting)]


def checked(function):
    """Makes a function, or an ``__init__``, check its own arguments.

    Example
    -------
    >>> @checked
    ... def halve(number: Whole(0)):
    ...     return number / 2
    >>> halve(-1)
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: ...
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        """Checks, then calls."""
        check(function, signature.bind(*args, **kwargs).arguments)
        return function(*args, **kwargs)

    return call


def words_of(value):
    """Returns the words of a list, of ``a,b``, of a number, or of None.

    Example
    -------
    >>> words_of("a, b"), words_of([60, 30]), words_of(5), words_of(None)
    (['a', 'b'], ['60', '30'], ['5'], [])
    """
    if value is None:
        return []
    if not isinstance(value, list):
        value = str(value).split(",")
    return [str(word).strip() for word in value]
