"""Two languages with the same classes: what of them trains and what tests.

Reference: "Unsupervised Cross-Lingual Speech Emotion Recognition Using Domain
Adversarial Neural Network", Cai et al. 2021, sections 3.3 and 4.
"""

import random

from speechbrain_ser.corpora.protocols.splits import stratified_share
from speechbrain_ser.utils.errors import InputError

# The dimensions that can be a task, and their two classes, the lower one first.
TASKS = {"arousal": ["low", "high"], "valence": ["negative", "positive"]}
DEVELOPMENTS = ("target", "source")
UNITS = ("utterance", "speaker")


def two_classes(annotation, dimension, threshold):
    """Makes the emotion of each utterance one of two classes of a dimension.

    Arguments
    ---------
    annotation : dict
        Id -> entry with the dimension's value.
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
    return {
        key: entry | {"emotion": high if entry[dimension] > threshold else low}
        for key, entry in annotation.items()
    }


def hold_out(annotation, share, unit):
    """Holds a share of the utterances out.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `emotion`.
    share : float
        Between 0 and 1.
    unit : str
        ``utterance``: drawn at random within each class, speakers stand on both
        sides; ``speaker``: whole speakers, drawn at random until the share is
        reached.

    Returns
    -------
    rest : dict
    held_out : dict

    Raises
    ------
    InputError
        If the share is out of range, or too few speakers are there.

    Example
    -------
    >>> annotation = {
    ...     f"{speaker}{i}": {"emotion": "low", "speaker": speaker}
    ...     for speaker in "abcd"
    ...     for i in range(5)
    ... }
    >>> rest, held_out = hold_out(annotation, 0.25, "speaker")
    >>> len({entry["speaker"] for entry in held_out.values()})
    1
    """
    if unit not in UNITS:
        raise InputError(
            f"--split_by is {unit!r}: give one of {', '.join(UNITS)}"
        )
    if unit == "utterance":
        return stratified_share(annotation, share)
    if not 0 < share < 1:
        raise InputError(f"the share to hold out is {share}: give 0 to 1")
    by_speaker = {}
    for key, entry in annotation.items():
        if entry.get("speaker") is None:
            raise InputError(
                f"the utterance {key} has no speaker, which --split_by speaker "
                "needs: add it, or give --split_by utterance"
            )
        by_speaker.setdefault(entry["speaker"], []).append(key)
    if len(by_speaker) < 2:
        raise InputError(
            f"--split_by speaker needs two speakers, {len(by_speaker)} is "
            "there: give --split_by utterance"
        )
    names = sorted(by_speaker)
    random.Random("speakers").shuffle(names)
    chosen = []
    while names[1:] and len(chosen) < share * len(annotation) - 1e-9:
        chosen += by_speaker[names.pop(0)]
    held_out = {key: annotation[key] for key in sorted(chosen)}
    rest = {k: e for k, e in annotation.items() if k not in held_out}
    return rest, held_out


def cross_lingual(
    languages, development, dev_share, source_dev_share, split_by
):
    """Splits two languages: the source trains, the target tests.

    Arguments
    ---------
    languages : dict
        ``source`` and ``target`` -> annotation; utterances of the target
        without a label take no part in the split.
    development : str
        ``target``: `dev_share` of the target chooses the epoch, as in the paper;
        ``source``: `source_dev_share` of the source does, and no label of the
        target is used for anything but the test. The tested utterances are the
        same in both.
    dev_share, source_dev_share : float
    split_by : str
        See `hold_out`.

    Returns
    -------
    dict
        ``train``, ``validation`` and ``evaluation`` -> annotation.

    Raises
    ------
    InputError
        If a setting is another word or a part can't be drawn.
    """
    if development not in DEVELOPMENTS:
        raise InputError(
            f"--development is {development!r}: give one of "
            f"{', '.join(DEVELOPMENTS)}"
        )
    train = languages["source"]
    tested, validation = with_labels(languages["target"]), {}
    if tested:
        tested, validation = hold_out(tested, dev_share, split_by)
    if development == "source":
        train, validation = hold_out(train, source_dev_share, split_by)
    elif not validation:
        raise InputError(
            "no utterance of the target language has a label, so it can't "
            "choose the epoch: give --development source"
        )
    return {"train": train, "validation": validation, "evaluation": tested}


def mono_lingual(languages, mono_test_share, mono_dev_share, split_by):
    """Splits the target language alone: it trains, chooses and tests.

    Arguments
    ---------
    languages : dict
        ``target`` -> annotation; utterances without a label are left out.
    mono_test_share, mono_dev_share : float
        Of all utterances; the rest trains.
    split_by : str
        See `hold_out`.

    Returns
    -------
    dict
        ``train``, ``validation`` and ``evaluation`` -> annotation.

    Raises
    ------
    InputError
        If a part can't be drawn.
    """
    everything = with_labels(languages["target"])
    if not everything:
        raise InputError(
            "no utterance of the target language has a label, and --system "
            "mono trains on them: give dann or base"
        )
    rest, tested = hold_out(everything, mono_test_share, split_by)
    share = mono_dev_share * len(everything) / len(rest)
    train, validation = hold_out(rest, share, split_by)
    return {"train": train, "validation": validation, "evaluation": tested}


def with_labels(annotation):
    """Returns the utterances that have a label."""
    return {
        key: entry
        for key, entry in annotation.items()
        if entry.get("emotion") is not None
    }
