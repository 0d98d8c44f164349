"""Losses of the methods in this package."""

import torch
import torch.nn.functional as F

from speechbrain.nnet.losses import AngularMargin
from speechbrain_ser.utils.settings import Number, checked
from speechbrain_ser.utils.vectors import precise, unit


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
    InputError
        If the temperature is not positive.

    Example
    -------
    >>> loss = PrototypeContrastiveLoss(temperature=0.5)
    >>> views = torch.eye(4)
    >>> labels = torch.arange(4)
    >>> round(float(loss(views, views, labels, labels)), 4)
    0.5944
    """

    @checked
    def __init__(self, temperature: Number(above=0) = 0.1):
        super().__init__()
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
            A scalar, in float32 at least, under autocast too; 0 (with a
            gradient of 0) for an empty batch.
        """
        n = len(embeddings)
        if n == 0:
            return embeddings.sum() + augmented.sum()
        views = unit(torch.cat([embeddings, augmented]))
        labels = torch.cat([labels, labels_augmented])
        own = torch.eye(2 * n, dtype=torch.bool, device=views.device)
        positive = labels.unsqueeze(0) == labels.unsqueeze(1)
        positive = (positive | own.roll(n, dims=1)) & ~own
        # Eq. 5
        with torch.autocast(views.device.type, enabled=False):
            cosines = views @ views.T
        scores = (cosines / self.temperature).masked_fill(own, -torch.inf)
        log_share = scores - scores.logsumexp(dim=1, keepdim=True)
        log_share = log_share.masked_fill(~positive, 0.0)
        return -(log_share.sum(dim=1) / positive.sum(dim=1)).mean()


class MaxEntropyLoss(torch.nn.Module):
    """Is smallest where a classifier holds all classes for equally likely.

    Minus the entropy of what it says (Eq. 2 of MEnAN), so that who minimises it
    takes from an embedding all that the classifier goes by, right or wrong.

    Reference: "Speaker-Invariant Affective Representation Learning via
    Adversarial Training", Li et al. 2020, section 3.3.2.

    Example
    -------
    >>> loss = MaxEntropyLoss()
    >>> uniform, certain = torch.zeros(1, 8), torch.tensor([[1e4, 0.0]])
    >>> round(float(-loss(uniform)), 4), float(-loss(certain))
    (2.0794, 0.0)
    """

    def forward(self, logits):
        """Computes the mean over the utterances.

        Arguments
        ---------
        logits : torch.Tensor
            ``[batch, classes]``, of any precision; or log-probabilities.

        Returns
        -------
        torch.Tensor
            A scalar in float32 (or float64), from -log(classes) to 0, in nats.
        """
        return -entropy(logits).mean()


def entropy(logits):
    """Returns the entropy in nats of what a classifier says of each utterance.

    Arguments
    ---------
    logits : torch.Tensor
        ``[batch, classes]``, of any precision; or log-probabilities.

    Returns
    -------
    torch.Tensor
        ``[batch]``, float32 or float64; its gradient is finite everywhere.

    Example
    -------
    >>> entropy(torch.tensor([[0.0, 0.0]]))
    tensor([0.6931])
    """
    if logits.dtype != torch.float64:
        logits = logits.float()
    # leaves log-probabilities as they are
    logs = logits.log_softmax(dim=1)
    # Eq. 2; 0 log 0 is 0 as long as the logarithm is finite
    finite = logs.clamp(min=torch.finfo(logs.dtype).min)
    return -(logs.exp() * finite).sum(dim=1)


class AMSoftmaxLoss(torch.nn.Module):
    """Additive-margin softmax: classes are told apart by an angle (Eq. 2).

    The cosines (Eq. 3) come from a classifier with normalised features and
    weights, see ``lobes.multitask_head.CosineClassifier``.

    Reference: "GMP-ATL: Gender-augmented Multi-scale Pseudo-label Enhanced
    Adaptive Transfer Learning for Speech Emotion Recognition via HuBERT", Pan et
    al. 2024, section 3.3.

    Arguments
    ---------
    margin : float
        m, from 0 to 2, taken off the cosine of the target alone.
    scale : float
        s (> 0).

    Raises
    ------
    InputError
        If one of them is out of range.

    Example
    -------
    >>> loss = AMSoftmaxLoss(margin=0.5, scale=2.0)
    >>> cosines = torch.tensor([[1.0, 0.0]])
    >>> loss.logits(cosines, torch.tensor([0]))
    tensor([[1., 0.]])
    >>> loss.logits(cosines)
    tensor([[2., 0.]])
    >>> loss(cosines, torch.tensor([0]))
    tensor(0.3133)
    """

    @checked
    def __init__(
        self,
        margin: Number(0, 2) = 0.2,
        scale: Number(1e-6, 1e6) = 30.0,
    ):
        super().__init__()
        self.angular = AngularMargin(margin, scale)

    def logits(self, cosines, targets=None):
        """Returns what the softmax is taken of.

        Arguments
        ---------
        cosines : torch.Tensor
            ``[N, classes]``.
        targets : torch.Tensor, optional
            Class indices ``[N]``; without them there is no margin: that is what
            an utterance is classified by.

        Returns
        -------
        torch.Tensor
            ``[N, classes]``, in float32 at least.
        """
        cosines = precise(cosines)
        if targets is None:
            return self.angular(cosines, 0.0)
        chosen = F.one_hot(targets, cosines.shape[1]).to(cosines)
        return self.angular(cosines, chosen)

    def forward(self, cosines, targets):
        """Computes the mean over the utterances, Eq. 2.

        Arguments
        ---------
        cosines : torch.Tensor
            ``[N, classes]``.
        targets : torch.Tensor
            Class indices ``[N]``.

        Returns
        -------
        torch.Tensor
            A scalar.
        """
        return F.cross_entropy(self.logits(cosines, targets), targets)
