"""Losses of the methods in this package."""

import torch
import torch.nn.functional as F


class PrototypeContrastiveLoss(torch.nn.Module):
    """Pulls together the utterances that share a pseudo-label (Eq. 5 of IPR).

    The 2N samples are N utterances and their augmented copies, and each is an
    anchor once. Its positives are its own other view and all samples of the same
    pseudo-label. An anchor's loss is the mean over its positives of Eq. 5, with
    all other samples in the denominator; where no two utterances share a
    pseudo-label this is Eq. 5 for each utterance and its copy.

    Reference: "Iterative Prototype Refinement for Ambiguous Speech Emotion
    Recognition", Sun et al. 2024, section 2.3.

    Arguments
    ---------
    temperature : float
        tau (> 0).

    Raises
    ------
    ValueError
        If the temperature is not positive.

    Example
    -------
    >>> loss = PrototypeContrastiveLoss(temperature=0.5)
    >>> views = torch.eye(4)
    >>> labels = torch.arange(4)
    >>> round(float(loss(views, views, labels, labels)), 4)
    0.5944
    """

    def __init__(self, temperature=0.1):
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be > 0, got {temperature}")
        self.temperature = temperature

    def forward(self, embeddings, augmented, labels, labels_augmented):
        """Computes the mean over the 2N anchors.

        Arguments
        ---------
        embeddings : torch.Tensor
            Of the utterances, ``[N, D]``; L2-normalised here.
        augmented : torch.Tensor
            Of their augmented copies, ``[N, D]``.
        labels : torch.Tensor
            Pseudo-labels of the utterances, ``[N]``, integers.
        labels_augmented : torch.Tensor
            Pseudo-labels of the copies, ``[N]``, integers.

        Returns
        -------
        torch.Tensor
            A scalar; 0 (with a gradient of 0) for an empty batch.
        """
        n = len(embeddings)
        if n == 0:
            return embeddings.sum() + augmented.sum()
        views = torch.cat([embeddings, augmented])
        precise = torch.promote_types(views.dtype, torch.float32)
        views = F.normalize(views.to(precise), dim=-1)
        labels = torch.cat([labels, labels_augmented])
        own = torch.eye(2 * n, dtype=torch.bool, device=views.device)
        positive = labels.unsqueeze(0) == labels.unsqueeze(1)
        positive = (positive | own.roll(n, dims=1)) & ~own
        # Eq. 5
        scores = (views @ views.T / self.temperature).masked_fill(
            own, -torch.inf
        )
        log_share = scores - scores.logsumexp(dim=1, keepdim=True)
        log_share = log_share.masked_fill(~positive, 0.0)
        return -(log_share.sum(dim=1) / positive.sum(dim=1)).mean()
