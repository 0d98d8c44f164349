"""What a model says of an annotation, as a report wants it."""

import torch

from speechbrain_ser.utils.errors import InputError

EVERYBODY = "all"


def answers_of(recognizer, entries, speakers="no", progress=None):
    """Labels the entries of an annotation.

    Arguments
    ---------
    recognizer : EmotionRecognizer
        Its temperature is not applied.
    entries : dict
        Id -> entry, as corpora and manifests give them.
    speakers : str
        By whom frames are standardised: ``no``: by what trained; ``column``:
        each speaker by all that he says; ``all``: all as if one spoke.
    progress : callable, optional
        Wraps what yields a result for each entry, to show how far it is.

    Returns
    -------
    predictions : dict
        Id -> ``posterior`` ``[classes]``, ``embedding`` ``[D]``, the method's
        own numbers, and ``entry``.
    failed : dict
        Id -> why the model says nothing of it.

    Raises
    ------
    InputError
        If frames can't be standardised so, or nothing could be labelled.
    """
    from speechbrain_ser.inference.speech import open_all
    from speechbrain_ser.inference.stream import labelled

    set_speakers(recognizer, entries, speakers)
    keys = list(entries)
    sounds = open_all([speech_of(k, entries[k], speakers) for k in keys])
    kept, recognizer.temperature = recognizer.temperature, 1.0
    found, failed = {}, {}
    try:
        rows = labelled(recognizer, sounds)
        for index, outcome in progress(rows) if progress else rows:
            key = keys[index]
            if isinstance(outcome, InputError):
                failed[key] = str(outcome)
            else:
                found[key] = prediction_of(recognizer, outcome, entries[key])
    finally:
        recognizer.temperature = kept
    if not found:
        reason = next(iter(failed.values()), "there is none")
        raise InputError(f"no utterance could be labelled: {reason}")
    in_order = {key: found[key] for key in keys if key in found}
    return in_order, failed


def set_speakers(recognizer, entries, speakers):
    """Has the model standardise as asked for; refuses what can't be.

    Arguments
    ---------
    recognizer : EmotionRecognizer
    entries : dict
    speakers : str
        See `answers_of`.

    Raises
    ------
    InputError
    """
    if speakers == "no":
        if recognizer.by == "speaker":
            raise InputError(
                f"the model {recognizer.name} standardises each speaker by what "
                "he says: give --speakers column, or all"
            )
        return
    for key, entry in entries.items():
        if speakers == "column" and entry.get("speaker") is None:
            raise InputError(
                f"the utterance {key} has no speaker: name all of them, or give "
                "--speakers all"
            )
    if recognizer.by != "speaker":
        recognizer.standardise_by_speaker()


def speech_of(key, entry, speakers="no"):
    """Returns an entry as speech that can be labelled.

    Arguments
    ---------
    key : str
    entry : dict
        With ``wav``, ``start``, ``stop`` (samples at the file's rate),
        ``duration`` and perhaps ``channel`` and ``speaker``.
    speakers : str
        See `answers_of`.

    Returns
    -------
    Speech

    Example
    -------
    >>> entry = {"wav": "a.wav", "start": 8000, "stop": 24000, "duration": 2.0}
    >>> speech = speech_of("a", entry | {"channel": "mix"})
    >>> speech.start, speech.stop, speech.channel
    (1.0, 3.0, None)
    """
    from speechbrain_ser.inference.speech import Speech

    start = stop = None
    if entry.get("stop") is not None:
        first = entry.get("start", 0)
        rate = round((entry["stop"] - first) / entry["duration"])
        start, stop = first / rate, entry["stop"] / rate
    channel = entry.get("channel")
    return Speech(
        entry["wav"],
        key,
        start=start,
        stop=stop,
        channel=channel if isinstance(channel, int) else None,
        speaker=EVERYBODY if speakers == "all" else entry.get("speaker"),
    )


def prediction_of(recognizer, outcome, entry):
    """Returns an outcome as a Brain's ``predict`` gives it."""
    words = recognizer.labels
    return {
        "posterior": torch.tensor([outcome.posterior[word] for word in words]),
        "embedding": outcome.embedding,
        "entry": entry,
    } | outcome.own
