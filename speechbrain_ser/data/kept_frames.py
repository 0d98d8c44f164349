"""What frozen blocks give of a run's speech: read instead of waveforms."""

from speechbrain_ser.data.cached_features import cached_features
from speechbrain_ser.data.frame_cache import cached_reader
from speechbrain_ser.data.standardised_reader import WAYS, StandardisedReader
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
