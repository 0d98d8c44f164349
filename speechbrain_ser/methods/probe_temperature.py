"""The temperature of a probe, on speakers that its fit did not hear.

All that validates trains too, so that nobody is left to fit a temperature on:
the chosen rows and C are fitted once more without each group of speakers, who
are classified by it. One temperature is then fitted on all of them. These are
fits on fewer speakers than the probe's own, so the temperature is, if anything,
of a less sure model; and rows and C were chosen on the same groups.
"""

import numpy as np
import torch

from speechbrain_ser.lobes.linear_probe import LinearProbe
from speechbrain_ser.methods.probe_choice import speaker_groups, statistics
from speechbrain_ser.utils.temperature import (
    mean_loss,
    tempered,
    trusted_temperature,
)

HELD_OUT = "held-out speakers"


def held_out_temperature(
    vectors, labels, speakers, n_groups, fit, n_classes, pairwise=False
):
    """Fits a temperature on speakers group by group.

    Arguments
    ---------
    vectors : numpy.ndarray
        ``[n, channels]``, not standardised.
    labels : numpy.ndarray
        Class indices, ``[n]``.
    speakers : list of str
        Of each utterance; None is not known.
    n_groups : int
        See `probe_choice.speaker_groups`.
    fit : callable
        Standardised vectors and labels to weights and biases.
    n_classes : int
    pairwise : bool
        See `LinearProbe`.

    Returns
    -------
    dict
        ``temperature``, ``fitted_on``, ``n``, ``speakers``, ``groups`` and the
        negative log-likelihood of the held-out labels with and without it; or a
        temperature of None and the ``reason``.
    """
    groups, reason = groups_to_fit(labels, speakers, n_groups, n_classes)
    if reason is not None:
        return without(reason)
    posteriors = np.empty((len(labels), n_classes))
    for group in set(groups):
        held = groups == group
        mean, std = statistics(vectors[~held])
        found = fit((vectors[~held] - mean) / std, labels[~held])
        probe = LinearProbe(1, vectors.shape[1], n_classes, 1, pairwise)
        given = [torch.tensor(array).float() for array in (mean, std, *found)]
        probe.set([0], *given)
        posteriors[held] = posterior_of(probe, vectors[held])
    fitted, note = trusted_temperature(posteriors, labels)
    about = {
        "n": len(labels),
        "speakers": len(set(speakers)),
        "groups": len(set(groups)),
    }
    if fitted is None:
        return without(f"of held-out speakers {note}") | about
    losses = {
        "held_out_NLL": mean_loss(posteriors, labels),
        "held_out_NLL_tempered": mean_loss(
            tempered(posteriors, fitted), labels
        ),
    }
    facts = {"temperature": fitted, "fitted_on": HELD_OUT} | about | losses
    return facts | ({"note": note} if note else {})


def groups_to_fit(labels, speakers, n_groups, n_classes):
    """Returns the group of each utterance, or why there are none.

    Returns
    -------
    numpy.ndarray or None
        ``[n]``.
    str or None
    """
    if None in speakers:
        return None, "an utterance that trains has no speaker"
    groups = speaker_groups(speakers, n_groups)
    if len(set(groups)) < 2:
        return None, "one speaker alone trains"
    for group in set(groups):
        if len(set(labels[groups != group])) < n_classes:
            return None, "some class is said by one group of speakers alone"
    return groups, None


@torch.no_grad()
def posterior_of(probe, vectors):
    """Classifies vectors as the probe does in the end, ``[n, classes]``."""
    logits = probe(torch.tensor(vectors).float())
    return torch.softmax(logits, dim=-1).double().numpy()


def without(reason):
    """Returns what is said where there is no temperature."""
    return {"temperature": None, "fitted_on": None, "reason": reason}
