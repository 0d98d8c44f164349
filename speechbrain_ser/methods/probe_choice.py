"""What a probe chooses, and how, on the speakers that it may see.

Each candidate is judged on speakers that it was not fitted on, group by group
of those that train; whoever is tested has no say.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC

from speechbrain_ser.utils.errors import InputError

LEAST = 1e-9  # of a probability, so that its logarithm is a number


class Logistic:
    """Multinomial logistic regression, judged by how likely it holds the truth.

    The held-out logarithm of the true class's probability, averaged by class,
    tells near candidates apart where a share of right answers, in steps of an
    utterance, is a matter of luck.
    """

    judged_by = "log_likelihood"
    pairwise = False

    @staticmethod
    def fit(vectors, labels, penalty, class_weight=None):
        """Fits; returns scikit-learn's classifier."""
        model = LogisticRegression(
            C=penalty, class_weight=class_weight, max_iter=2000
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(vectors, labels)

    @staticmethod
    def outputs(model, vectors, n_classes):
        """Returns log-probabilities, ``[n, n_classes]``."""
        found = np.full((len(vectors), n_classes), LEAST)
        found[:, model.classes_] = model.predict_proba(vectors)
        return np.log(np.clip(found, LEAST, None))

    @staticmethod
    def judge(outputs, labels):
        """Returns the mean over classes of their utterances' log-likelihood."""
        own = outputs[np.arange(len(labels)), labels]
        return by_class(own, labels)

    @staticmethod
    def linear(model):
        """Returns weights and biases; of two classes a row each."""
        weight, bias = model.coef_, model.intercept_
        if len(weight) == 1:
            weight = np.concatenate([-weight, weight]) / 2
            bias = np.concatenate([-bias, bias]) / 2
        return weight, bias


class SupportVectors:
    """A linear support vector machine for each two classes, judged by UA."""

    judged_by = "UA"
    pairwise = True

    @staticmethod
    def fit(vectors, labels, penalty, class_weight=None):
        """Fits; returns scikit-learn's classifier."""
        return SVC(
            C=penalty,
            kernel="linear",
            class_weight=class_weight,
            break_ties=len(set(labels)) > 2,
        ).fit(vectors, labels)

    @staticmethod
    def outputs(model, vectors, n_classes):
        """Returns 1 for the class that is predicted, ``[n, n_classes]``."""
        return np.eye(n_classes)[model.predict(vectors)]

    @staticmethod
    def judge(outputs, labels):
        """Returns the mean recall of the classes."""
        own = outputs[np.arange(len(labels)), labels]
        return by_class(own, labels)

    @staticmethod
    def linear(model):
        """Returns weights and biases of the pairs, above 0 for the first."""
        if len(model.classes_) == 2:
            return -model.coef_, -model.intercept_
        return model.coef_, model.intercept_


CLASSIFIERS = {"logistic": Logistic, "svm": SupportVectors}


def by_class(values, labels):
    """Averages over the utterances of each class, then over classes."""
    return float(np.mean([values[labels == c].mean() for c in set(labels)]))


def statistics(vectors):
    """Returns mean and deviation of each channel; 1 of one that is constant."""
    mean, std = vectors.mean(axis=0), vectors.std(axis=0)
    # of a constant the deviation may be the rounding of its mean
    flat = std <= 1e-7 * np.abs(mean)
    return mean, np.where(flat | (std == 0), 1.0, std)


def speaker_groups(speakers, n_groups):
    """Parts speakers into groups, in turn in the order of their names.

    Arguments
    ---------
    speakers : list of str
        Of each utterance.
    n_groups : int
        At most; never more than speakers.

    Returns
    -------
    numpy.ndarray
        The group of each utterance, from 0.

    Example
    -------
    >>> speaker_groups(["b", "a", "c", "a"], 2)
    array([1, 0, 0, 0])
    """
    place = {name: i for i, name in enumerate(sorted(set(speakers)))}
    return np.array([place[name] % n_groups for name in speakers])


def check_speakers(speakers, what):
    """Refuses to choose where there are no two speakers.

    Arguments
    ---------
    speakers : list
        Of the utterances that train; None is not known.
    what : str
        What is chosen, and how it is given instead.

    Raises
    ------
    InputError
    """
    known = set(speakers)
    if None in known:
        raise InputError(
            "an utterance that trains has no speaker, and the probe chooses on "
            f"speakers that it is not fitted on: name all speakers, or {what}"
        )
    if len(known) < 2:
        raise InputError(
            "the probe chooses on speakers that it is not fitted on, and there "
            f"is one alone that trains: add speakers, or {what}"
        )


def choose(candidates, labels, groups, penalties, kind, class_weight=None):
    """Judges each candidate on speakers that it was not fitted on.

    Arguments
    ---------
    candidates : dict
        Name to vectors ``[n, channels]``.
    labels : numpy.ndarray
        Class indices, ``[n]``.
    groups : numpy.ndarray
        The group of each utterance's speaker, ``[n]``.
    penalties : list of float
        scikit-learn's C.
    kind : type
        Of `CLASSIFIERS`.
    class_weight : str or None
        scikit-learn's.

    Returns
    -------
    name : object
        The best candidate; of equals the first, with the smallest C.
    penalty : float
    judged : dict
        Name to penalty to what it is worth.
    """
    n_classes = int(max(labels)) + 1
    judged = {}
    for name, vectors in candidates.items():
        outputs = {
            penalty: np.empty((len(labels), n_classes))
            for penalty in sorted(penalties)
        }
        for group in set(groups):
            held = groups == group
            mean, std = statistics(vectors[~held])
            fitted, tried = (
                (vectors[here] - mean) / std for here in (~held, held)
            )
            for penalty, found in outputs.items():
                model = kind.fit(fitted, labels[~held], penalty, class_weight)
                found[held] = kind.outputs(model, tried, n_classes)
        judged[name] = {
            penalty: kind.judge(found, labels)
            for penalty, found in outputs.items()
        }
    places = [(name, c) for name, own in judged.items() for c in own]
    name, penalty = max(places, key=lambda place: judged[place[0]][place[1]])
    return name, penalty, judged
