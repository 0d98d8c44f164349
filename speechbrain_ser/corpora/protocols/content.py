"""The same audio under two names: refused where it would give an answer away.

Audio is the same if its samples are, whatever file and container they lie in.
Only utterances of one length are read, and of those only the ones whose parts
or labels make a difference.
"""

import hashlib

import soundfile

from speechbrain_ser.utils.audio_files import MIX, inspect_audio
from speechbrain_ser.utils.errors import InputError

LABELLED = ("train", "valid", "test")
HIDDEN = ("unlabelled", "target", "enrolment")  # they serve without labels


def check_content(parts, transductive=False, files=None):
    """Refuses audio that stands in two parts.

    Arguments
    ---------
    parts : dict
        Part -> annotation; of the parts `LABELLED` and `HIDDEN`.
    transductive : bool
        Whether what is tested may train without its label.
    files : dict, optional
        Part -> the annotation's file, for the errors.

    Returns
    -------
    list of str
        What is told: the same audio with two labels in the train part.

    Raises
    ------
    InputError
        If the same audio stands in two of the labelled parts, or in the test
        part and in one that trains without labels; names both and counts the
        others.

    Example
    -------
    >>> tones = list(getfixture("tones").items())
    >>> check_content({"train": dict(tones[:6]), "test": dict(tones[6:])})
    []
    >>> check_content({"train": dict(tones[:6]), "test": dict(tones[5:])})
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: the utterance tone5 of train ...
    """
    searched = LABELLED if transductive else LABELLED + HIDDEN
    lengths = {}
    for part in searched:
        for key, entry in parts.get(part, {}).items():
            held = lengths.setdefault(length(entry), [])
            held.append((part, key, entry))
    apart, twice = [], []
    for held in lengths.values():
        if len(held) > 1 and (leaks(held) or doubles(held)):
            for same in by_content(held):
                apart += leaks(same)[:1]
                twice += doubles(same)
    if apart:
        raise InputError(_refusal(apart, files or {}))
    return _told(twice)


def length(entry):
    """Returns an utterance's samples, by its entry or its file's header."""
    start = entry.get("start", 0)
    if "stop" in entry:
        return entry["stop"] - start
    return inspect_audio(entry["wav"]).frames - start


def leaks(held):
    """Returns the pairs of some utterances that must not be the same audio.

    Arguments
    ---------
    held : list of tuple
        Part, id and entry of each.

    Returns
    -------
    list of tuple
        Two of them each; at most one for each two parts.

    Example
    -------
    >>> held = [("train", "a", {}), ("train", "b", {}), ("test", "c", {})]
    >>> [(one[1], other[1]) for one, other in leaks(held)]
    [('a', 'c')]
    >>> leaks([("train", "a", {}), ("unlabelled", "b", {})])
    []
    """
    first = {}
    for each in held:
        first.setdefault(each[0], each)
    return [
        (first[one], first[other])
        for i, one in enumerate(LABELLED)
        for other in LABELLED[i + 1 :] + HIDDEN
        if one in first
        and other in first
        and (other in LABELLED or one == "test")
    ]


def doubles(held):
    """Returns the utterances of the train part with another label than its first.

    Example
    -------
    >>> held = [
    ...     ("train", name, {"emotion": name[0]}) for name in ("x1", "x2", "y")
    ... ]
    >>> [(one[1], other[1]) for one, other in doubles(held)]
    [('x1', 'y')]
    """
    train = [each for each in held if each[0] == "train"]
    return [
        (train[0], other)
        for other in train[1:]
        if other[2].get("emotion") != train[0][2].get("emotion")
    ]


def by_content(held):
    """Groups utterances by their samples.

    Arguments
    ---------
    held : list of tuple
        Part, id and entry of each.

    Returns
    -------
    list of list of tuple
        Those of which there are several.
    """
    digests, groups = {}, {}
    for each in held:
        entry = each[2]
        place = entry["wav"], entry.get("start", 0), entry.get("stop")
        place += (entry.get("channel", MIX),)
        if place not in digests:
            digests[place] = content_digest(*place)
        groups.setdefault(digests[place], []).append(each)
    return [same for same in groups.values() if len(same) > 1]


def content_digest(wav, start=0, stop=None, channel=MIX):
    """Returns the SHA-256 of the samples of a part of a file.

    Integers of up to 24 bits are exact in float32, so that the container does
    not matter. Of several channels it is one, or their mean.

    Example
    -------
    >>> path = str(getfixture("tmp_path") / "a")
    >>> for suffix in (".wav", ".flac"):
    ...     soundfile.write(path + suffix, [0.5, -0.25, 0.125], 16000)
    >>> content_digest(path + ".wav") == content_digest(path + ".flac")
    True
    """
    try:
        samples, _ = soundfile.read(
            wav, start=start, stop=stop, dtype="float32"
        )
    except RuntimeError as error:
        raise InputError(
            f"The audio file '{wav}' cannot be read ({error}): copy it again "
            "from its source."
        ) from None
    if samples.ndim > 1:
        samples = (
            samples.mean(axis=1) if channel == MIX else samples[:, channel - 1]
        )
    return hashlib.sha256((samples + 0.0).tobytes()).digest()


def _refusal(apart, files):
    """The sentence about the same audio in two parts."""
    (one, key, entry), (other, other_key, other_entry) = apart[0]
    more = f" ({len(apart) - 1} more such pairs)" if apart[1:] else ""
    why = "keep one of them"
    if other in HIDDEN:
        why = (
            f"take it out of {other}; only a transductive protocol trains on "
            "what it tests, without the label"
        )
    return (
        f"the utterance {key} of {files.get(one) or one} ('{entry['wav']}') is "
        f"the same audio as {other_key} of {files.get(other) or other} "
        f"('{other_entry['wav']}'){more}: {why}"
    )


def _told(twice):
    """What is said of audio that stands twice in the train part."""
    if not twice:
        return []
    (_, key, _), (_, other, _) = twice[0]
    return [
        "train: the same audio as another utterance, but another label: "
        f"{len(twice)} (for example {other} and {key})"
    ]
