"""Batch norm over two domains: four ways of combining source and target.

Reference: "Unsupervised Cross-Lingual Speech Emotion Recognition Using Domain
Adversarial Neural Network", Cai et al. 2021, section 4.2.2.
"""

import torch
import torch.nn.functional as F
from torch.distributed.nn.functional import all_reduce

from speechbrain_ser.utils.distributed import world_size
from speechbrain_ser.utils.settings import Number, OneOf, Whole, checked

# Way to whose statistics normalise (source, target) on their way to the emotion
# classifier, and to the language classifier.
STATISTICS = {
    "bn1": {"emotion": ("whole", "whole"), "language": ("whole", "whole")},
    "bn2": {"emotion": ("source", "source"), "language": ("whole", "whole")},
    "bn3": {"emotion": ("source", "target"), "language": ("source", "target")},
    "bn4": {"emotion": ("source", "target"), "language": ("source", "target")},
}
WAYS = (*STATISTICS, "none")


class RunningStatistics(torch.nn.Module):
    """Standardises by the batch in training, by running statistics after it.

    The batch is that of all processes, on any device: torch's ``SyncBatchNorm``
    is for GPUs alone. The running variance is unbiased, as torch's is.

    Arguments
    ---------
    dim : int
    momentum : float
        Of a new batch in the running mean and variance.
    eps : float
        Added to the variance.

    Example
    -------
    >>> normalise = RunningStatistics(dim=1)
    >>> normalise(torch.tensor([[1.0], [3.0]]))
    tensor([[-1.0000],
            [ 1.0000]])
    >>> normalise.mean, normalise.var
    (tensor([0.2000]), tensor([1.1000]))
    """

    def __init__(self, dim, momentum=0.1, eps=1e-5):
        super().__init__()
        self.momentum = momentum
        self.eps = eps
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("var", torch.ones(dim))

    def _apply(self, fn, recurse=True):
        """Moves and casts; in half precision a small step would be lost."""

        def precisely(held):
            """Leaves float32 as it is."""
            given = fn(held)
            return held.to(given.device) if given.dtype.itemsize < 4 else given

        return super()._apply(precisely, recurse)

    def forward(self, inputs):
        """Returns ``[n, dim]`` standardised, in float32 at least.

        Raises
        ------
        ValueError
            If a training batch of all processes has one utterance.
        """
        inputs = inputs.to(self.mean.dtype)
        if not self.training:
            return self.running(inputs)
        if world_size() == 1:
            return F.batch_norm(
                inputs,
                self.mean,
                self.var,
                training=True,
                momentum=self.momentum,
                eps=self.eps,
            )
        total = all_reduce(
            torch.cat([inputs.sum(0), inputs.new_tensor([float(len(inputs))])])
        )
        count = total[-1].detach()
        if count < 2:
            raise ValueError("batch norm needs two utterances or more")
        mean = total[:-1] / count
        var = all_reduce(((inputs - mean) ** 2).sum(0)) / count
        with torch.no_grad():
            self.mean.lerp_(mean, self.momentum)
            self.var.lerp_(var * count / (count - 1), self.momentum)
        return (inputs - mean) / (var + self.eps).sqrt()

    def running(self, inputs):
        """Returns ``[n, dim]`` standardised by the running statistics."""
        inputs = inputs.to(self.mean.dtype)
        return F.batch_norm(inputs, self.mean, self.var, eps=self.eps)


class DomainBatchNorm(torch.nn.Module):
    """Batch norm of utterances of two domains, with one gain and bias.

    ==== ==================================== ==================================
    way  in training                          in evaluation, running statistics
    ==== ==================================== ==================================
    bn1  source and target together           of both together
    bn2  for the emotion the source by        for the emotion of the source, also
         itself, for the language both        for the target; for the language
         together                             of both together
    bn3  each by itself                       of an utterance's own domain
    bn4  as bn3, each a mini-batch of its own of an utterance's own domain
    none no batch norm                        none
    ==== ==================================== ==================================

    So whatever a classifier sees in evaluation is normalised as it was when the
    classifier learnt; the paper says of the running statistics nothing. A source
    alone, without a target, is plain batch norm with ``bn1``.

    Arguments
    ---------
    dim : int
        Size of an utterance's vector.
    way : str
        Of `WAYS`.
    momentum : float
        Of a new batch in the running mean and variance.
    eps : float
        Added to the variance.

    Raises
    ------
    InputError
        If there is no such way.

    Example
    -------
    >>> norm = DomainBatchNorm(dim=4, way="bn2")
    >>> emotion, language = norm(torch.rand(3, 4), torch.rand(2, 4))
    >>> emotion.shape, language.shape
    (torch.Size([3, 4]), torch.Size([5, 4]))
    >>> norm.eval().of("emotion", torch.rand(2, 4), torch.tensor([0, 1])).shape
    torch.Size([2, 4])
    """

    @checked
    def __init__(
        self,
        dim: Whole(1),
        way: OneOf(*WAYS) = "bn1",
        momentum: Number(0, 1) = 0.1,
        eps: Number(0) = 1e-5,
    ):
        super().__init__()
        self.way = way
        self.use = STATISTICS.get(way, {})
        names = sorted({n for pair in self.use.values() for n in pair})
        self.statistics = torch.nn.ModuleDict(
            {name: RunningStatistics(dim, momentum, eps) for name in names}
        )
        if names:
            self.weight = torch.nn.Parameter(torch.ones(dim))
            self.bias = torch.nn.Parameter(torch.zeros(dim))

    def forward(self, source, target):
        """Normalises a training batch by itself.

        Arguments
        ---------
        source : torch.Tensor
            ``[n, dim]``.
        target : torch.Tensor
            ``[m, dim]``; n or m may be 0, with bn4 one of them is.

        Returns
        -------
        emotion : torch.Tensor
            ``[n, dim]``, the source for the emotion classifier.
        language : torch.Tensor
            ``[n + m, dim]``, source and target for the language classifier.

        Raises
        ------
        ValueError
            If bn4 is given both.
        """
        both = torch.cat([source, target])
        if self.way == "none":
            return source, both
        if self.way == "bn1":
            language = self.normalise("whole", both)
            return language[: len(source)], language
        if self.way == "bn2":
            emotion = self.normalise("source", source)
            return emotion, self.normalise("whole", both)
        if self.way == "bn4" and len(source) and len(target):
            raise ValueError("bn4 takes source and target one after the other")
        emotion = self.normalise("source", source)
        language = [emotion, self.normalise("target", target)]
        return emotion, torch.cat(language)

    def normalise(self, name, inputs):
        """Normalises by a batch, which also moves the running statistics."""
        if len(inputs) == 0:
            return inputs
        return self.statistics[name](inputs) * self.weight + self.bias

    def of(self, classifier, inputs, domains):
        """Normalises by the running statistics, whatever the batch.

        Arguments
        ---------
        classifier : str
            ``emotion`` or ``language``: which one it is for.
        inputs : torch.Tensor
            ``[n, dim]``.
        domains : torch.Tensor
            0 for the source, 1 for the target, ``[n]``.

        Returns
        -------
        torch.Tensor
            ``[n, dim]``.
        """
        if self.way == "none":
            return inputs
        source, target = (
            self.statistics[name].running(inputs)
            for name in self.use[classifier]
        )
        chosen = torch.where(domains.unsqueeze(1) == 0, source, target)
        return chosen * self.weight + self.bias
