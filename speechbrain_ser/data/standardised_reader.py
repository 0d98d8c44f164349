"""Held frames, standardised as they are read: over what trains, or by speaker."""

from speechbrain_ser.data.cached_features import held_of
from speechbrain_ser.data.layer_statistics import taken_size
from speechbrain_ser.lobes.features import Standardisation
from speechbrain_ser.utils.audio import place
from speechbrain_ser.utils.errors import InputError

ENROLMENT = "enrolment"  # a part: speech of who is tested, that is not scored
WAYS = ("train", "speaker", ENROLMENT)
# Parts whose speakers are known by all that they say.
OWN = ("train", "unlabelled", ENROLMENT)


class StandardisedReader:
    """Reads held features, standardised, and keeps what it gave.

    Which statistics count is decided at each reading: as soon as they are
    fitted again, or a checkpoint's are loaded, what was kept is dropped.

    Arguments
    ---------
    standardise : Standardisation
        Or another module whose buffers say all that it does.
    finish : callable, optional
        Standardised features to what is given, say of one length.
    by : str
        ``train``: over the train part, whose statistics are in the checkpoint
        and know nothing of who is tested. ``speaker``: each speaker by all that
        he says, the tested ones too: transductive. ``enrolment``: who trains by
        all that he says, others by the part ``enrolment`` alone.
    keep : bool
        Whether what was given is kept, else it is made anew each time.

    Attributes
    ----------
    held : dict
        Of `cached_features`; more can be added at any time.

    Example
    -------
    >>> import torch
    >>> entry, frames = {"wav": "a.wav"}, torch.tensor([[1.0], [3.0]])
    >>> read = StandardisedReader(Standardisation(dim=1))
    >>> read.held[place(entry)] = frames
    >>> read.fit({"train": {"a": entry}})
    >>> read(entry).flatten()
    tensor([-1.,  1.])
    >>> read.standardise.fit([10 * frames])
    >>> read(entry).flatten()
    tensor([-1.9000, -1.7000])
    """

    def __init__(self, standardise, finish=None, by="train", keep=True):
        self.standardise = standardise
        self.finish = finish
        self.by = by
        self.keep = keep
        self.held = {}
        self.owners = {}  # place of the speech to who speaks
        self.speakers = {}  # who to Standardisation
        self._kept = {}
        self._buffers, self._versions = [], []

    def fit(self, parts):
        """Takes the statistics of what is held.

        Arguments
        ---------
        parts : dict
            Part to annotation. Without ``train`` those of the train part stay
            as they are.

        Raises
        ------
        InputError
            If an utterance has no speaker where `by` needs one.
        """
        if parts.get("train"):
            train = parts["train"].values()
            self.standardise.fit(held_of(self.held, train))
        self.know_speakers(parts)

    def know_speakers(self, parts):
        """Takes the statistics of speakers alone, if they count.

        Arguments
        ---------
        parts : dict
            Part to annotation.
        """
        self._kept = {}
        if self.by == "train":
            return
        spoken = {}
        for part, annotation in parts.items():
            for key, entry in annotation.items():
                who = speaker_of(entry, key, self.by)
                self.owners[place(entry)] = who
                altered = {"speed", "copy"} & set(entry)
                if not altered and (self.by == "speaker" or part in OWN):
                    spoken.setdefault(who, []).append(entry)
        for who, entries in spoken.items():
            frames = held_of(self.held, entries)
            self.speakers[who] = Standardisation(frames[0].shape[-1])
            self.speakers[who].fit(frames)

    def statistics(self, entry):
        """Returns the `Standardisation` of an entry."""
        if self.by == "train":
            return self.standardise
        who = self.owners.get(place(entry))
        if who not in self.speakers:
            raise InputError(
                f"the speaker {who} of {entry['wav']} has no enrolment "
                "utterances, by which --standardise_by enrolment standardises: "
                "give --enrolment 10, or --standardise_by train"
            )
        return self.speakers[who]

    def __call__(self, entry):
        """Returns the features of an entry, ``[time, dim]``."""
        buffers = list(self.standardise.buffers())
        # torch counts how often a tensor was written to
        versions = [(id(buffer), buffer._version) for buffer in buffers]
        if versions != self._versions:
            self._kept = {}
            self._buffers, self._versions = buffers, versions
        key = place(entry)
        if key in self._kept:
            return self._kept[key]
        frames = self.statistics(entry)(self.held[key])
        if self.finish:
            frames = self.finish(frames)
        if self.keep:
            self._kept[key] = frames
        return frames

    def __getstate__(self):
        """Leaves out what was kept: another process has other tensors."""
        return self.__dict__ | {"_kept": {}, "_buffers": [], "_versions": []}


def check_size(features, standardise):
    """Refuses statistics of another size than the frames.

    Arguments
    ---------
    features : torch.nn.Module
        With ``prefix_dim``.
    standardise : Standardisation

    Raises
    ------
    InputError
        Naming both sizes.
    """
    given, dim = len(standardise.mean), taken_size(features)
    if given != dim:
        raise InputError(
            f"frame_dim is {given}, but the encoder's frames have {dim} "
            f"channels: set --frame_dim {dim}"
        )


def speaker_of(entry, name, by):
    """Returns who speaks, or says what is missing.

    Arguments
    ---------
    entry : dict
    name : str
        Of the utterance.
    by : str
        The setting that needs it.

    Example
    -------
    >>> speaker_of({}, "a", "speaker")
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: the utterance a has no speaker, ...
    """
    if entry.get("speaker") is None:
        raise InputError(
            f"the utterance {name} has no speaker, which --standardise_by {by} "
            "needs: add it, or give --standardise_by train"
        )
    return entry["speaker"]
