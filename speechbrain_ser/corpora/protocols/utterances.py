"""Utterances of an annotation: which there are, chosen, drawn, left out.

An utterance may stand there in pieces (key `utterance`), which are never
parted. Whatever is made of an annotation is sorted by id, so that its own
order never matters.
"""

import collections
import random

from speechbrain_ser.utils.errors import InputError


def units(annotation):
    """Finds the utterances.

    Arguments
    ---------
    annotation : dict
        Id -> entry, with `utterance` if it is a piece of one.

    Returns
    -------
    dict
        Utterance -> its ids, which are several if it was split in pieces.

    Example
    -------
    >>> units({"b": {}, "a-1": {"utterance": "a"}, "a-2": {"utterance": "a"}})
    {'a': ['a-1', 'a-2'], 'b': ['b']}
    """
    found = {}
    for key in sorted(annotation):
        unit = annotation[key].get("utterance", key)
        found.setdefault(unit, []).append(key)
    return found


def expand(annotation, ids, names):
    """Returns the entries of some utterances.

    Arguments
    ---------
    annotation : dict
        Id -> entry.
    ids : dict
        Of `units`.
    names : iterable of str
        Utterances.
    """
    keys = sorted(key for name in names for key in ids[name])
    return {key: annotation[key] for key in keys}


def emotion(annotation, ids):
    """Returns the label of an utterance, which all its pieces have."""
    return annotation[ids[0]]["emotion"]


def by_emotion(annotation, ids):
    """Returns label -> its utterances, both sorted; for `ids` see `units`."""
    classes = collections.defaultdict(list)
    for name in sorted(ids):
        classes[emotion(annotation, ids[name])].append(name)
    return dict(sorted(classes.items()))


def draw(classes, quotas, seed):
    """Draws so many utterances of each class as its quota says."""
    chosen = set()
    for label, names in classes.items():
        names = list(names)
        random.Random(f"{seed}/{label}").shuffle(names)
        chosen.update(names[: quotas[label]])
    return chosen


def values(annotation, key):
    """Returns the sorted values of a key that every entry must have."""
    found = set()
    for name, entry in annotation.items():
        if entry.get(key) is None:
            raise InputError(
                f"Entry '{name}' has no {key}, which this protocol needs: "
                f"add '{key}' to the annotation or choose another protocol."
            )
        found.add(entry[key])
    return sorted(found, key=lambda value: (isinstance(value, str), value))


def where(annotation, key, value):
    """Returns the entries whose `key` is `value`."""
    return {
        name: annotation[name]
        for name in sorted(annotation)
        if annotation[name][key] == value
    }


def without(annotation, other):
    """Returns the entries that are not in `other`."""
    return {
        name: annotation[name]
        for name in sorted(annotation)
        if name not in other
    }


def join(words):
    """'a, b, c'."""
    return ", ".join(str(word) for word in words)
