"""What MEnAN trains on: speakers, speeds.

And whom it does not: which epoch unseen speakers would choose for each other.

Reference: "Speaker-Invariant Affective Representation Learning via Adversarial
Training", Li et al. 2020, sections 4 and 5.
"""

import numpy as np
import torch

from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import Number
from speechbrain_ser.utils.waiting import on_device

SYSTEMS = ("emotion_only", "multitask", "dat", "menan")
# Of menan, where the settings leave it open: the learning rate of SC and lambda.
# The others have the paper's.
MENAN_SPEAKER_RATE = 0.003
MENAN_EMOTION_WEIGHT = 0.7


class Speed(Number):
    """How many times as fast as the recording itself.

    Example
    -------
    >>> Speed().mend(1)
    'give a number from 0.25 to 4 other than 1'
    """

    def __init__(self):
        super().__init__(0.25, 4)

    def holds(self, value):
        """Whether it is another speed that can be played."""
        return super().holds(value) and value != 1

    def bounds(self):
        """Returns the bounds in words."""
        return f"{super().bounds()} other than 1"


def training_speakers(train):
    """Returns the names of the speakers who train, sorted.

    Arguments
    ---------
    train : dict
        Annotation.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        If an utterance has no speaker, or there is one speaker alone.

    Example
    -------
    >>> training_speakers({"a": {"speaker": "B"}, "b": {"speaker": "A"}})
    ['A', 'B']
    """
    for key, entry in train.items():
        if entry.get("speaker") is None:
            raise InputError(
                f"the train part's utterance {key} has no speaker: add it, "
                "since the speakers are what is to be forgotten"
            )
    speakers = sorted({entry["speaker"] for entry in train.values()})
    if len(speakers) < 2:
        raise InputError(
            "all utterances of the train part are of the speaker "
            f"{speakers[0]}: at least two speakers are needed"
        )
    return speakers


def by_speaker(predictions):
    """Groups predictions by speaker, in alphabetical order.

    Arguments
    ---------
    predictions : dict
        Utterance to its outputs and its ``entry``; what names no speaker is
        left out.

    Returns
    -------
    dict
        Speaker to predictions.

    Example
    -------
    >>> spoken = {"a": {"entry": {"speaker": "B"}}, "b": {"entry": {}}}
    >>> by_speaker(spoken | {"c": {"entry": {"speaker": "A"}}})
    {'A': {'c': {'entry': {'speaker': 'A'}}}, 'B': {'a': ...}}
    """
    groups = {}
    for key, prediction in predictions.items():
        speaker = prediction["entry"].get("speaker")
        if speaker is not None:
            groups.setdefault(speaker, {})[key] = prediction
    return dict(sorted(groups.items()))


def note_best_epochs(best, epoch, scores, tested=None):
    """Keeps for each the epoch that the next one's UA would have chosen.

    Of two speakers that is the other one. Of equal epochs the first is kept.

    Arguments
    ---------
    best : dict
        Changed: who is tested to ``epoch``, ``chosen_by`` and the scores of
        both, ``valid`` of who chooses and ``test``.
    epoch : int
    scores : dict
        Speaker (or part) to the scores of this epoch.
    tested : iterable of str, optional
        Who of them is tested; default: all, in turn.

    Example
    -------
    >>> best = {}
    >>> for epoch, (one, other) in enumerate([(0.5, 0.2), (0.4, 0.3)], 1):
    ...     note_best_epochs(
    ...         best, epoch, {"F": {"UA": one}, "M": {"UA": other}}
    ...     )
    >>> best["M"]
    {'epoch': 1, 'chosen_by': 'F', 'valid': {'UA': 0.5}, 'test': {'UA': 0.2}}
    >>> best["F"]
    {'epoch': 2, 'chosen_by': 'M', 'valid': {'UA': 0.3}, 'test': {'UA': 0.4}}
    """
    names = list(scores)
    if len(names) < 2:
        return
    next_one = dict(zip(names, names[1:] + names[:1]))
    for name in names if tested is None else tested:
        before, other = best.get(name), next_one[name]
        if before is None or scores[other]["UA"] > before["valid"]["UA"]:
            best[name] = {
                "epoch": epoch,
                "chosen_by": other,
                "valid": scores[other],
                "test": scores[name],
            }


def speaker_draws(draw, vectors, steps, size, noise):
    """Draws what SC's steps on a batch see; all is moved at once.

    Arguments
    ---------
    draw : numpy.random.Generator
    vectors : torch.Tensor
        The embeddings that there are, ``[n, dim]``.
    steps : int
    size : int or None
        Embeddings of a step; None: all.
    noise : float
        Its standard deviation.

    Returns
    -------
    chosen : list
        Of each step the indices, or a slice of all.
    noise : list
        Of each step ``[size, dim]``, or None.

    Example
    -------
    >>> draw = np.random.default_rng(0)
    >>> chosen, noise = speaker_draws(draw, torch.zeros(9, 2), 3, 4, 0.1)
    >>> len(chosen), chosen[0].shape, noise[0].shape
    (3, torch.Size([4]), torch.Size([4, 2]))
    """
    n, dim = vectors.shape
    places, added = [], []
    for _ in range(steps):
        if size is not None:
            places.append(draw.integers(n, size=size))
        if noise:
            own = draw.normal(scale=noise, size=(size or n, dim))
            added.append(own.astype(np.float32))
    chosen, noise = [slice(None)] * steps, [None] * steps
    if places:
        held = torch.from_numpy(np.stack(places))
        chosen = list(on_device(held, vectors.device))
    if added:
        held = torch.from_numpy(np.stack(added))
        noise = list(on_device(held, vectors.device))
    return chosen, noise


def fill_in(settings, parts):
    """Returns what open settings are: they hang on the system and who trains.

    Arguments
    ---------
    settings : dict
        Of a hparams file, see `experiment.hparams.peek`.
    parts : dict or None
        Part to annotation; None before they are read.

    Returns
    -------
    dict
        Setting to value.
    """
    if parts is not None:
        return {"n_speakers": len(training_speakers(parts["train"]))}
    ours = settings["system"] == "menan"
    defaults = {
        "lr_speaker": MENAN_SPEAKER_RATE if ours else settings["lr"],
        "emotion_weight": MENAN_EMOTION_WEIGHT if ours else 0.5,
    }
    return {k: v for k, v in defaults.items() if settings[k] is None}
