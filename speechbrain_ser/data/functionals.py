"""openSMILE's functionals of an utterance, for the frame cache.

openSMILE is free for research and teaching alone; whoever sells what is made
with it needs a licence of audEERING. So it is an extra that nothing else needs.
"""

import hashlib
from importlib import metadata

import numpy as np
import torch

from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import OneOf, Whole

SIZES = {"eGeMAPSv02": 88, "eGeMAPSv01b": 88, "GeMAPSv01b": 62}
MISSING = (
    "openSMILE's features need its package, which is free for research alone: "
    "pip install opensmile, or leave out what needs it"
)


class Functionals(torch.nn.Module):
    """openSMILE's functionals: one row of numbers for an utterance.

    `frame_cache.FrameCache` takes it for an encoder that gives one frame.

    Reference: Eyben et al. 2016, "The Geneva Minimalistic Acoustic Parameter
    Set (GeMAPS) for Voice Research and Affective Computing".

    Arguments
    ---------
    feature_set : str
        Of openSMILE.
    sample_rate : int
        In Hz.

    Raises
    ------
    InputError
        If the package ``opensmile`` is not installed.
    """

    n_rows = 1

    def __init__(
        self,
        feature_set: OneOf(*SIZES) = "eGeMAPSv02",
        sample_rate: Whole(1) = 16000,
    ):
        super().__init__()
        self.feature_set = feature_set
        self.sample_rate = sample_rate
        self.dim = self.prefix_dim = SIZES[feature_set]
        self.smile = None
        try:
            self.version = metadata.version("opensmile")
        except metadata.PackageNotFoundError:
            raise InputError(MISSING) from None

    def prefix(self, wavs, lengths):
        """Computes the functionals of each utterance.

        Arguments
        ---------
        wavs : torch.Tensor
            ``[batch, samples]``.
        lengths : torch.Tensor
            Relative lengths, ``[batch]`` in (0, 1].

        Returns
        -------
        rows : torch.Tensor
            ``[batch, 1, functionals]``; what is not a number (of speech without
            a voiced frame, say) is 0.
        lengths : torch.Tensor
            Ones, ``[batch]``.
        """
        samples = (lengths * wavs.shape[1]).round().long().tolist()
        rows = [
            self.compute(wav[:n].float().cpu().numpy())
            for wav, n in zip(wavs, samples)
        ]
        rows = torch.from_numpy(np.stack(rows)).unsqueeze(1)
        return rows.to(wavs.device), torch.ones_like(lengths)

    forward = prefix

    def compute(self, wav):
        """Computes the functionals of samples, float32 ``[functionals]``."""
        if self.smile is None:
            # it is slow to import, and is not needed where all is kept
            import opensmile

            self.smile = opensmile.Smile(
                feature_set=opensmile.FeatureSet[self.feature_set],
                feature_level=opensmile.FeatureLevel.Functionals,
            )
        found = self.smile.process_signal(wav, self.sample_rate).values[0]
        return np.nan_to_num(found, posinf=0, neginf=0).astype(np.float32)

    def count_frames(self, samples):
        """Returns 1, whatever the number of samples."""
        return torch.ones_like(torch.as_tensor(samples))

    def prefix_digest(self):
        """Returns the SHA-256 of all that decides the functionals."""
        text = f"{self.feature_set} {self.version} {self.sample_rate}"
        return hashlib.sha256(text.encode()).hexdigest()

    def about_prefix(self):
        """Returns for a person what the row is."""
        return {
            "what": "functionals of openSMILE, free for research alone",
            "feature_set": self.feature_set,
            "opensmile": self.version,
        }

    def __getstate__(self):
        """Leaves out openSMILE's own object, which can't be copied."""
        return self.__dict__ | {"smile": None}
