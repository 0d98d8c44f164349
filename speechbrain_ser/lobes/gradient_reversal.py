"""Gradient reversal: what helps a classifier behind it hurts what is before it."""

import torch

from speechbrain_ser.utils.settings import Number


class _Reverse(torch.autograd.Function):
    """Identity whose gradient is multiplied by minus a scale."""

    @staticmethod
    def forward(ctx, inputs, scale):
        """Eq. 3."""
        ctx.save_for_backward(scale)
        return inputs.view_as(inputs)

    @staticmethod
    def backward(ctx, gradient):
        """Eq. 4; the scale itself gets no gradient."""
        (scale,) = ctx.saved_tensors
        return -scale * gradient, None


class GradientReversal(torch.nn.Module):
    """Passes its input on, and reverses and scales the gradient.

    Reference: "Unsupervised Cross-Lingual Speech Emotion Recognition Using
    Domain Adversarial Neural Network", Cai et al. 2021, Eq. 3 and 4; after
    "Domain-Adversarial Training of Neural Networks", Ganin et al. 2016.

    It has no parameters and no buffers, so checkpoints don't hold it and DDP
    does not see it. The scale can be set at any time, say by
    :class:`speechbrain_ser.schedules.ReversalRamp`, without compiling a model
    anew that ``torch.compile`` made.

    Arguments
    ---------
    scale : float
        beta, 0 or more; with 0 nothing before it learns from what is behind it.

    Raises
    ------
    ValueError
        If the scale is negative or no finite number.

    Example
    -------
    >>> reverse = GradientReversal(scale=0.5)
    >>> inputs = torch.ones(3, requires_grad=True)
    >>> reverse(inputs).sum().backward()
    >>> inputs.grad
    tensor([-0.5000, -0.5000, -0.5000])
    >>> reverse.scale = 0.1
    """

    def __init__(self, scale: Number(0) = 1.0):
        super().__init__()
        self.scale = scale

    @property
    def scale(self):
        """beta, by which the reversed gradient is multiplied."""
        return self._scale.item()

    @scale.setter
    def scale(self, value):
        """Sets beta for the forward passes to come."""
        if not 0 <= value < float("inf"):
            raise ValueError(
                f"the scale of GradientReversal is {value}: give a finite "
                "number, 0 or more"
            )
        # float64 without dimensions: as exact as a Python number and never
        # the type of the result; not a number, for which a change compiles anew
        self._scale = torch.tensor(
            float(value), dtype=torch.float64, device="cpu"
        )

    def forward(self, inputs):
        """Returns the input.

        Arguments
        ---------
        inputs : torch.Tensor
            Of any shape and floating type.

        Returns
        -------
        torch.Tensor
            The same numbers.
        """
        return _Reverse.apply(inputs, self._scale)

    def extra_repr(self):
        """Shows the scale where the module is printed."""
        return f"scale={self.scale}"
