"""How much the clusters of frames say about the utterances they are from."""

import numpy as np
from scipy.sparse import coo_array
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score

PERMUTATIONS = 5


def cluster_sizes(labels, size):
    """Counts the frames of each cluster.

    Arguments
    ---------
    labels : array of int, of shape [frames]
        The cluster of each frame.
    size : int
        How many clusters there are.

    Returns
    -------
    numpy.ndarray
        The counts, of shape [size].

    Raises
    ------
    ValueError
        If a label is no cluster.

    Example
    -------
    >>> cluster_sizes([2, 0, 2], 4).tolist()
    [1, 0, 2, 0]
    """
    labels = np.asarray(labels, dtype=int)
    check_indexes(labels, size, "clusters")
    return np.bincount(labels, minlength=size)


def cluster_information(labels, utterances, words, seed=0):
    """Tells how much a frame's cluster says about its utterance's word.

    The measure is the normalised mutual information: 0 if the cluster says
    nothing, 1 if each tells the other. Many clusters tell utterances apart,
    and so say something about any words; how much is measured by permuting
    the words over the utterances. The numbers are to be held against that.

    Arguments
    ---------
    labels : array of int, of shape [frames]
        The cluster of each frame.
    utterances : array of int, of shape [frames]
        The place of each frame's utterance in `words`.
    words : sequence of str
        For each utterance its word, such as the emotion. Utterances with None
        are left out.
    seed : int
        Of the permutations.

    Returns
    -------
    dict
        ``nmi``, and ``chance``: the mean over five permutations. Both are 0 if
        all words are the same.

    Raises
    ------
    ValueError
        If there is no frame with a word, the lengths differ, or a frame's
        cluster or utterance is impossible.

    Example
    -------
    >>> found = cluster_information(
    ...     [0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2], ["f", "m", None]
    ... )
    >>> {key: round(value, 6) for key, value in found.items()}
    {'nmi': 1.0, 'chance': 1.0}
    """
    known = np.array([word is not None for word in words], dtype=bool)
    frames = frames_by(labels, utterances, known)
    _, numbers = np.unique(
        [word for word in words if word is not None], return_inverse=True
    )
    one_hot = np.eye(numbers.max() + 1, dtype=int)
    generator = np.random.default_rng(seed)
    chances = [
        normalised_mutual_information(
            frames @ one_hot[generator.permutation(numbers)]
        )
        for _ in range(PERMUTATIONS)
    ]
    return {
        "nmi": normalised_mutual_information(frames @ one_hot[numbers]),
        "chance": float(np.mean(chances)),
    }


def frames_by(labels, utterances, known):
    """Counts the frames of each cluster and each known utterance.

    Arguments
    ---------
    labels, utterances : array of int, of shape [frames]
        See `cluster_information`.
    known : np.ndarray
        For each utterance whether it has a word.

    Returns
    -------
    scipy.sparse.csr_array
        ``[clusters, known utterances]``.
    """
    labels = np.asarray(labels)
    utterances = np.asarray(utterances)
    if labels.ndim != 1 or labels.shape != utterances.shape:
        raise ValueError(
            f"labels of shape {labels.shape} and utterances of shape "
            f"{utterances.shape}, not both [frames]"
        )
    size = int(labels.max(initial=0)) + 1
    check_indexes(labels, size, "clusters")
    check_indexes(utterances, len(known), "utterances")
    kept = known[utterances]
    if not kept.any():
        raise ValueError("no frame is of an utterance with a word")
    ones = np.ones(np.count_nonzero(kept), dtype=int)
    return coo_array(
        (ones, (labels[kept].astype(int), utterances[kept].astype(int))),
        shape=(size, len(known)),
    ).tocsr()[:, known]


def normalised_mutual_information(table):
    """Gives the mutual information over the mean of the two entropies.

    Arguments
    ---------
    table : array of int, of shape [clusters, words]
        How many frames of each cluster have each word.

    Returns
    -------
    float
        In 0..1; 0 where there is one word alone, or one cluster.

    Example
    -------
    >>> round(normalised_mutual_information(np.array([[3, 0], [0, 2]])), 6)
    1.0
    >>> round(normalised_mutual_information(np.array([[2, 2], [1, 1]])), 6)
    0.0
    """
    mean = (entropy(table.sum(axis=0)) + entropy(table.sum(axis=1))) / 2
    shared = mutual_info_score(None, None, contingency=table)
    return float(shared / mean) if mean > 0 else 0.0


def check_indexes(indexes, size, name):
    """Refuses what is no index into that many things.

    Raises
    ------
    ValueError
        If an index is negative or too high.
    """
    if indexes.size and not 0 <= indexes.min() <= indexes.max() < size:
        raise ValueError(
            f"{indexes.min()} to {indexes.max()} are no indexes of "
            f"{size} {name}"
        )
