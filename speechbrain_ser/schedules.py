"""Weights and learning rates that change with the epoch or the update."""

import math

from speechbrain_ser.utils.settings import Number, Whole, checked


class PseudoLabelWeight:
    """The weight beta of the pseudo-label loss: grows from 0, ever faster.

    Reference: "Iterative Prototype Refinement for Ambiguous Speech Emotion
    Recognition", Sun et al. 2024, Eq. 7. The exponent is read as
    ``epoch / (n_epochs / 2)``, with which beta is 0 at epoch 0 and `maximum` from
    half-way on, as the paper's text says.

    Arguments
    ---------
    n_epochs : int
        Epochs of the whole training (``epoch_m``).
    maximum : float
        The largest weight (``weight_m``).
    growth : float
        The exponential growth factor ``r`` (> 0); 1 gives a straight line.

    Raises
    ------
    InputError
        If an argument is out of its range.

    Example
    -------
    >>> beta = PseudoLabelWeight(n_epochs=50)
    >>> beta(0), beta(25), beta(50)
    (0.0, 0.5, 0.5)
    >>> round(beta(12.5), 4)
    0.1201
    """

    @checked
    def __init__(
        self,
        n_epochs: Whole(1),
        maximum: Number(0) = 0.5,
        growth: Number(above=0) = 10.0,
    ):
        self.n_epochs = n_epochs
        self.maximum = maximum
        self.growth = growth

    def __call__(self, epoch):
        """Returns beta at `epoch` (completed epochs, from 0 to n_epochs)."""
        progress = epoch / (self.n_epochs / 2)
        if self.growth == 1:
            return min(self.maximum * progress, self.maximum)
        # Eq. 7
        rise = (self.growth**progress - 1) / (self.growth - 1)
        return min(self.maximum * rise, self.maximum)


class ReversalRamp:
    """The scale of a gradient reversal: from 0 to its maximum, ever slower.

    ``maximum (2 / (1 + exp(-steepness p)) - 1)`` at the share p of the training
    that is over. The adversary then does not push an encoder that knows nothing
    yet.

    Reference: "Domain-Adversarial Training of Neural Networks", Ganin et al.
    2016, section 5.2.2.

    Arguments
    ---------
    maximum : float
        Which it comes near to at the end.
    steepness : float
        gamma (> 0).

    Raises
    ------
    InputError
        If an argument is out of its range.

    Example
    -------
    >>> ramp = ReversalRamp(maximum=1.0)
    >>> ramp(0.0), round(ramp(0.1), 4), round(ramp(1.0), 4)
    (0.0, 0.4621, 0.9999)
    """

    @checked
    def __init__(
        self,
        maximum: Number(0) = 1.0,
        steepness: Number(above=0) = 10.0,
    ):
        self.maximum = maximum
        self.steepness = steepness

    def __call__(self, progress):
        """Returns the scale when a share `progress` (0 to 1) is over."""
        rise = 2 / (1 + math.exp(-self.steepness * progress)) - 1
        return self.maximum * rise


def decayed_rate(epoch, initial=1e-3, decay=0.93, final=5e-5):
    """Returns a learning rate that falls by a factor in each epoch.

    Reference: Cai et al. 2021, section 4.1.

    Arguments
    ---------
    epoch : int
        From 1, which has the `initial` rate.
    initial : float
    decay : float
        The factor.
    final : float
        It falls no further.

    Returns
    -------
    float

    Example
    -------
    >>> decayed_rate(1), round(decayed_rate(2), 6), decayed_rate(50)
    (0.001, 0.00093, 5e-05)
    """
    return max(initial * decay ** (epoch - 1), final)


def polynomial_rate(epoch, n_epochs, power=1.0):
    """Returns by what a learning rate is multiplied: 1 at first, then less.

    ``(1 - (epoch - 1) / n_epochs)^power``, as torch's ``PolynomialLR``.

    Reference: Li et al. 2020, Table 1, which does not give the power.

    Arguments
    ---------
    epoch : int
        From 1 to `n_epochs`.
    n_epochs : int
    power : float
        1 gives a straight line.

    Returns
    -------
    float

    Example
    -------
    >>> polynomial_rate(1, 300), polynomial_rate(151, 300)
    (1.0, 0.5)
    """
    return (1 - (epoch - 1) / n_epochs) ** power


def warmup_factor(step, n_steps):
    """Returns by what a learning rate is multiplied: a straight line up to 1.

    SpeechBrain's warm-up schedulers fall again right after it; this one leaves
    the rate to whatever schedule there is.

    Arguments
    ---------
    step : int
        The optimizer step, from 1.
    n_steps : int
        Of the warm-up; its last one has the whole rate. 0: none.

    Returns
    -------
    float

    Example
    -------
    >>> warmup_factor(1, 4), warmup_factor(4, 4), warmup_factor(9, 4)
    (0.25, 1.0, 1.0)
    >>> warmup_factor(1, 0)
    1.0
    """
    return min(step / n_steps, 1.0) if n_steps else 1.0


def warmup_length(warmup_epochs, warmup_updates, updates_per_epoch):
    """Returns the epochs of a warm-up that is long enough in both measures.

    A warm-up counts in updates: on a small corpus ten epochs may be a hundred
    updates, too few for prototypes that can teach.

    Arguments
    ---------
    warmup_epochs : int
        At least so many epochs.
    warmup_updates : int
        At least so many optimizer steps.
    updates_per_epoch : int
        Optimizer steps of one warm-up epoch.

    Returns
    -------
    int

    Example
    -------
    >>> warmup_length(10, 0, 100), warmup_length(10, 600, 50)
    (10, 12)
    """
    return max(warmup_epochs, -(-warmup_updates // updates_per_epoch))
