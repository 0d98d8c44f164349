"""Probes: what a frozen model's features tell a fresh classifier.

scikit-learn fits them to the end, so that probes of any number of features are
compared by what the features hold, not by how long each was trained.
"""

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import recall_score
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

# Of the inverse penalty; the validation part chooses.
STRENGTHS = (0.001, 0.01, 0.1, 1.0)
# Of `speaker_probe`: a speaker may hide in directions of little variance, which
# only a weak penalty lets a classifier use.
SPEAKER_STRENGTHS = (0.01, 0.1, 1.0, 10.0)


def probe(features, labels, valid_features, valid_labels, balanced=False):
    """Fits a linear classifier on standardised features.

    Arguments
    ---------
    features : np.ndarray
        ``[n, D]``, of the training part.
    labels : list of str
        ``[n]``.
    valid_features : np.ndarray
        Of the validation part, by whose UA the penalty is chosen (the strongest
        on a tie); of no rows: it is the middle one.
    valid_labels : list of str
    balanced : bool
        Whether all classes weigh the same.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Its ``classes_`` are sorted.

    Example
    -------
    >>> features = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> labels = ["neu", "neu", "sad", "sad"]
    >>> probe(features, labels, features, labels).predict([[2.5]]).tolist()
    ['sad']
    """
    fitted = []
    for strength in STRENGTHS if len(valid_labels) else STRENGTHS[1:2]:
        model = make_pipeline(
            StandardScaler(),
            LogisticRegression(
                C=strength,
                max_iter=2000,
                class_weight="balanced" if balanced else None,
            ),
        )
        model.fit(features, labels)
        score = 0.0
        if len(valid_labels):
            guesses = model.predict(valid_features)
            score = recall_score(
                valid_labels,
                guesses,
                labels=sorted(set(valid_labels)),
                average="macro",
                zero_division=0,
            )
        fitted.append((score, model))
    return max(fitted, key=lambda pair: pair[0])[1]


def regression_probe(features, values, valid_features, valid_values):
    """Fits a linear regression on standardised features, as `probe` does.

    Arguments
    ---------
    features : np.ndarray
        ``[n, D]``.
    values : np.ndarray
        ``[n]``.
    valid_features : np.ndarray
        By whose squared error the penalty is chosen.
    valid_values : np.ndarray

    Returns
    -------
    sklearn.pipeline.Pipeline

    Example
    -------
    >>> x = np.arange(6.0).reshape(6, 1)
    >>> model = regression_probe(x, 2 * x[:, 0], x, 2 * x[:, 0])
    >>> round(float(model.predict([[2.5]])[0]), 3)
    5.0
    """
    fitted = []
    for strength in STRENGTHS if len(valid_values) else STRENGTHS[1:2]:
        model = make_pipeline(StandardScaler(), Ridge(alpha=1 / strength))
        model.fit(features, values)
        error = 0.0
        if len(valid_values):
            guesses = model.predict(valid_features)
            error = np.mean((guesses - valid_values) ** 2)
        fitted.append((error, model))
    return min(fitted, key=lambda pair: pair[0])[1]


def language_probe(embeddings, languages, size=1000, seed=0):
    """Says how well a linear classifier tells the language.

    It is fresh, fitted to the end on one half of the utterances and tried on the
    other, both ways: what an adversary that is trained along may no longer find,
    it may. Both languages count the same, however many utterances each has.

    Arguments
    ---------
    embeddings : np.ndarray
        ``[n, D]``.
    languages : np.ndarray
        ``[n]``, of two or more values.
    size : int
        Of a language with more utterances so many are drawn.
    seed : int
        Of what is drawn.

    Returns
    -------
    float or None
        UA in 0..1; None if a language has fewer than two utterances.

    Example
    -------
    >>> far_apart = np.array([[0.0], [0.1], [5.0], [5.1]])
    >>> language_probe(far_apart, np.array([0, 0, 1, 1]))
    1.0
    """
    draw = np.random.default_rng(seed)
    chosen = np.concatenate(
        [
            draw.permutation(np.flatnonzero(languages == language))[:size]
            for language in np.unique(languages)
        ]
    )
    told = languages[chosen]
    if np.unique(told, return_counts=True)[1].min() < 2:
        return None
    model = make_pipeline(
        StandardScaler(),
        LogisticRegression(
            C=STRENGTHS[1], max_iter=2000, class_weight="balanced"
        ),
    )
    guesses = cross_val_predict(model, embeddings[chosen], told, cv=2)
    return float(recall_score(told, guesses, average="macro"))


def speaker_probe(embeddings, speakers, folds=5, size=4000, seed=0):
    """Says how well fresh classifiers tell who speaks.

    Each utterance is held out once: classifiers are fitted to the end on the
    other folds. Two are tried, as each finds what the other misses: logistic
    regression, its penalty the best in the other folds, and a support vector
    machine. A speaker with one utterance can't be held out and is left out.

    Arguments
    ---------
    embeddings : np.ndarray
        ``[n, D]``; no two rows of the same speech, as in its speed-changed
        copies: one of them would give the other away.
    speakers : list of str
        ``[n]``.
    folds : int
        At least 2.
    size : int
        Of more utterances so many are drawn, of each speaker alike.
    seed : int
        Of what is drawn, and of the folds.

    Returns
    -------
    dict or None
        ``accuracy``, ``UA``, ``nonlinear_accuracy``, ``chance`` (always naming
        the most frequent speaker), and how many ``speakers``, ``utterances``
        and speakers ``left_out``. None with fewer than two speakers to tell.

    Example
    -------
    >>> far_apart = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2], [2.0]])
    >>> found = speaker_probe(far_apart, ["a", "a", "a", "b", "b", "b", "c"])
    >>> found["accuracy"], found["chance"], found["speakers"], found["left_out"]
    (1.0, 0.5, 2, 1)
    """
    speakers = np.asarray(speakers)
    if len(speakers) != len(embeddings):
        raise ValueError(
            f"{len(embeddings)} embeddings, but {len(speakers)} speakers"
        )
    names, counts = np.unique(speakers, return_counts=True)
    probed = names[counts >= 2]
    if len(probed) < 2:
        return None
    chosen = drawn(speakers, probed, max(2, size // len(probed)), seed)
    features = StandardScaler().fit_transform(embeddings[chosen])
    told = speakers[chosen]
    # speaker after speaker: each is spread over the folds
    fold = np.arange(len(told)) % folds
    guesses = named_linearly(features, told, fold)
    # the kernel once for all folds, which is most of the time
    nonlinear = held_out(
        SVC(kernel="precomputed"), rbf_kernel(features), told, fold
    )
    return shares_of(told, guesses, nonlinear) | {
        "speakers": len(probed),
        "utterances": len(told),
        "left_out": len(names) - len(probed),
    }


def shares_of(told, guesses, nonlinear):
    """Returns how many are named rightly, and how many would be by chance."""
    return {
        "accuracy": float(np.mean(guesses == told)),
        "UA": float(recall_score(told, guesses, average="macro")),
        "nonlinear_accuracy": float(np.mean(nonlinear == told)),
        "chance": float(np.unique(told, return_counts=True)[1].max())
        / len(told),
    }


def drawn(speakers, probed, each, seed):
    """Returns the places of so many utterances of each speaker, in turn."""
    draw = np.random.default_rng(seed)
    return np.concatenate(
        [
            draw.permutation(np.flatnonzero(speakers == name))[:each]
            for name in probed
        ]
    )


def held_out(model, inputs, told, fold):
    """Returns whom a model names for each utterance, fitted on other folds."""
    return cross_val_predict(model, inputs, told, cv=PredefinedSplit(fold))


def named_linearly(features, told, fold):
    """Returns whom linear classifiers name, the penalty that of other folds."""
    tried = np.stack(
        [
            held_out(
                LogisticRegression(C=strength, max_iter=2000),
                features,
                told,
                fold,
            )
            for strength in SPEAKER_STRENGTHS
        ]
    )
    guesses = told.copy()
    for own in (fold == i for i in np.unique(fold)):
        best = (tried == told)[:, ~own].sum(axis=1).argmax()
        guesses[own] = tried[best, own]
    return guesses
