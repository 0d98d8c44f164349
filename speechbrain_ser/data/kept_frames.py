"""What frozen blocks give of a run's speech: read instead of waveforms."""

from speechbrain_ser.data.cached_features import cached_features
from speechbrain_ser.data.frame_cache import FrameCache, fill_once
from speechbrain_ser.data.standardised_reader import (
    WAYS,
    StandardisedReader,
    check_size,
)
from speechbrain_ser.lobes.speech_model import SpeechModel, check_rate
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import NOTHING, OneOf, Whole, Word


class KeptFrames:
    """Keeps the frames of an encoder's frozen blocks; standardises them.

    Standardised they are held in memory, 1 kB a frame of 512 channels; else
    they are read from the disk.

    Arguments
    ---------
    encoder : torch.nn.Module
        With frozen blocks; where frames are standardised, nothing of it is
        trained.
    folder : str or None
        Where frames are kept; runs can share it.
    sample_rate : int
        In Hz.
    standardisation : Standardisation or None
    by : str
        See `StandardisedReader`.
    copies : AugmentedCopies or None
        See `FrameCache`.

    Raises
    ------
    InputError
        If frames that blocks are trained on are to be standardised: they would
        be no more what those blocks know.
    """

    def __init__(
        self,
        encoder,
        folder: Word(optional=True, counts=NOTHING),
        sample_rate: Whole(1) = 16000,
        standardisation=None,
        by: OneOf(*WAYS) = "train",
        copies=None,
    ):
        self.encoder = encoder
        self.folder = folder
        self.sample_rate = sample_rate
        self.copies = copies
        self.standardised = None
        if standardisation is not None:
            if any(weight.requires_grad for weight in encoder.parameters()):
                raise InputError(
                    "blocks of the encoder are trained on the kept frames, "
                    "which are then not to be standardised: give --frozen_layers "
                    "as many as --layer, or standardisation: null"
                )
            check_size(encoder, standardisation)
            self.standardised = StandardisedReader(standardisation, by=by)

    def prepare(self, parts, device):
        """Computes what is missing.

        Arguments
        ---------
        parts : dict
            Part to annotation. Statistics are those of ``train``, where it is
            there, else they stay what they are.
        device : str or None

        Returns
        -------
        callable
            Entry to its frames, ``[time, prefix_dim]``.

        Raises
        ------
        InputError
            If there is no folder, nothing that is frozen, or a speaker is not
            known by whom frames are standardised.
        """
        if self.standardised is None:
            return cached_reader(
                self.folder, self.encoder, self.sample_rate, parts, device
            )
        self.standardised.held |= cached_features(
            self.folder,
            self.encoder,
            parts.values(),
            self.sample_rate,
            device,
            "frames of the frozen blocks",
            self.copies,
        )
        self.standardised.fit(parts)
        return self.standardised


def cached_reader(folder, encoder, sample_rate, parts, device):
    """Fills a cache for a recipe's parts.

    Arguments
    ---------
    folder : str
        Where caches are kept.
    encoder : SpeechModel
    sample_rate : int
        In Hz.
    parts : dict
        Part to annotation.
    device : str or None
        None: SpeechBrain's best guess.

    Returns
    -------
    callable
        Entry to its frames, the `read` of `dataset.make_dataset`.

    Raises
    ------
    InputError
        If there is no folder, nothing that is frozen, or the encoder takes
        another sampling rate.
    """
    if folder is None:
        raise InputError(
            "the frames of the frozen blocks need a folder: give "
            "--cache_folder, or --cache False"
        )
    if not isinstance(encoder, SpeechModel):
        raise InputError(
            f"{type(encoder).__name__} has no frozen blocks whose frames could "
            "be kept: give --cache False"
        )
    check_rate(encoder, sample_rate)
    cache = FrameCache(folder, encoder, sample_rate)
    what = "frames of the frozen blocks"
    fill_once(cache, encoder, parts.values(), device, what)
    return cache.read
