"""What a trained model says of one utterance."""

import dataclasses

import torch


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a trained model says of one utterance.

    Arguments
    ---------
    label : str
        The class word with the largest posterior.
    posterior : dict
        Class word to probability, after the temperature, in the model's order.
    own : dict
        What the method says besides, name to number.
    embedding : torch.Tensor
        ``[D]``, float32.
    """

    label: str
    posterior: dict
    own: dict
    embedding: torch.Tensor

    @property
    def confidence(self):
        """The posterior of the label."""
        return self.posterior[self.label]
