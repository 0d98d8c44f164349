"""Two corpora of different languages, with two classes of one dimension.

Reference: "Unsupervised Cross-Lingual Speech Emotion Recognition Using Domain
Adversarial Neural Network", Cai et al. 2021, section 3.3.
"""

import itertools
import re

from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.odd_entries import Read, odd_rows
from speechbrain_ser.utils.settings import (
    NOTHING,
    Number,
    OneOf,
    Setting,
    Values,
    Word,
    checked,
)

# The dimensions that can be a task, and their two classes, the lower one first.
TASKS = {"arousal": ["low", "high"], "valence": ["negative", "positive"]}


@checked
def read_pair(
    corpora: Values(Setting(), counts=NOTHING),
    thresholds: Values(Number()),
    direction: Word(),
    task: OneOf(*TASKS),
):
    """Reads two corpora, with two classes of one dimension.

    Arguments
    ---------
    corpora : dict
        Name -> callable that reads the corpus and returns its annotation. Its
        folder is the setting ``<name>_folder``.
    thresholds : dict
        Name -> see `two_classes`.
    direction : str
        The first three letters of the source's name, "2", and those of the
        target's, such as ``rec2iem``.
    task : str
        ``arousal`` or ``valence``.

    Returns
    -------
    dict
        ``source`` and ``target`` -> annotation.

    Raises
    ------
    InputError
        If a setting is unfit or a corpus can't be read.

    Example
    -------
    >>> corpora = {
    ...     "recola": lambda: {"a": {"arousal": 0.5}},
    ...     "iemocap": lambda: {"b": {"arousal": 2.0}},
    ... }
    >>> thresholds = {"recola": 0.0, "iemocap": 2.5}
    >>> read_pair(corpora, thresholds, "iem2rec", "arousal")["source"]
    {'b': {'arousal': 2.0, 'emotion': 'low'}}
    """
    source, target = source_and_target(corpora, direction)
    annotations = {}
    for name, read in corpora.items():
        if name in (source, target):
            annotation = _read(name, read)
            annotations[name] = two_classes(annotation, task, thresholds[name])
    return {"source": annotations[source], "target": annotations[target]}


def source_and_target(names, direction):
    """Returns the two names that a direction means.

    Arguments
    ---------
    names : iterable of str
        The corpora.
    direction : str
        See `read_pair`.

    Returns
    -------
    source, target : str

    Raises
    ------
    InputError
        If it means none of them.

    Example
    -------
    >>> source_and_target(["recola", "iemocap"], "iem2rec")
    ('iemocap', 'recola')
    """
    known = {
        f"{source[:3]}2{target[:3]}": (source, target)
        for source, target in itertools.permutations(names, 2)
    }
    mend = OneOf(*known).mend(direction)
    if mend is not None:
        raise InputError(f"--direction is {direction!r}: {mend}")
    return known[direction]


def two_classes(annotation, dimension, threshold):
    """Makes the emotion of each utterance one of two classes of a dimension.

    Arguments
    ---------
    annotation : dict
        Id -> entry with the dimension's value; those without one are left out.
    dimension : str
        Of `TASKS`.
    threshold : float
        Above it is the upper class, up to it the lower one: 2.5 for IEMOCAP's
        scale from 1 to 5, 0 for RECOLA's from -1 to 1.

    Returns
    -------
    dict
        The same ids; the entries' `emotion` is the class.

    Example
    -------
    >>> annotation = {"a": {"arousal": 2.5}, "b": {"arousal": 2.6}}
    >>> made = two_classes(annotation, "arousal", 2.5)
    >>> made["a"]["emotion"], made["b"]["emotion"]
    ('low', 'high')
    """
    low, high = TASKS[dimension]
    classes = {
        key: entry | {"emotion": high if entry[dimension] > threshold else low}
        for key, entry in annotation.items()
        if entry.get(dimension) is not None
    }
    return Read(classes, odd_rows(annotation))


def _read(name, read):
    """Reads one corpus; its errors name the setting of its folder."""
    try:
        return read()
    except InputError as error:
        named = re.sub("(--)?data_folder", f"--{name}_folder", str(error))
        raise InputError(named) from None
