"""Ways to lay embeddings into a plane: principal components and t-SNE."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

LEAST_POINTS = 10  # for neighbours to mean something
PERPLEXITY = 30
ROUNDING = 1e-6  # of a number in single precision, by far


def principal_components(embeddings):
    """Projects embeddings on their two principal components.

    The largest weight of each component is positive, so that the same
    embeddings always lie the same way round.

    Arguments
    ---------
    embeddings : array of shape [n, D]
        At least three embeddings of at least two dimensions.

    Returns
    -------
    points : numpy.ndarray
        The places of the embeddings, [n, 2] in float64.
    shares : numpy.ndarray
        The share of the variance that each component explains, in 0..1; 0
        where there is no variance.

    Raises
    ------
    ValueError
        If there are too few embeddings or dimensions, or one is not finite.

    Example
    -------
    >>> points, shares = principal_components([[0, 0], [3, 0], [6, 0]])
    >>> points.tolist(), shares.tolist()
    ([[-3.0, 0.0], [0.0, 0.0], [3.0, 0.0]], [1.0, 0.0])
    """
    embeddings = np.asarray(embeddings, dtype=np.float64)
    if embeddings.ndim != 2 or len(embeddings) < 3 or embeddings.shape[1] < 2:
        raise ValueError(
            "two principal components need at least three embeddings of two "
            f"dimensions; got an array of shape {embeddings.shape}"
        )
    if not np.isfinite(embeddings).all():
        raise ValueError("the embeddings have values that are not finite")
    pca = PCA(2, svd_solver="covariance_eigh")
    with np.errstate(invalid="ignore"):  # Equal points have no variance.
        points = pca.fit_transform(embeddings)
    largest = np.abs(pca.components_).argmax(axis=1)
    signs = np.where(pca.components_[[0, 1], largest] < 0, -1, 1)
    return points * signs, np.nan_to_num(pca.explained_variance_ratio_)


def component_names(shares):
    """Gives the labels of the axes of two principal components.

    Example
    -------
    >>> component_names([0.75, 0.25])
    ('PC 1 (75.0 % of variance)', 'PC 2 (25.0 % of variance)')
    """
    return tuple(
        f"PC {number} ({100 * share:.1f} % of variance)"
        for number, share in enumerate(shares, start=1)
    )


def plane(embeddings):
    """Lays embeddings into a plane, by t-SNE where there are enough of them.

    Arguments
    ---------
    embeddings : numpy.ndarray
        ``[n, D]``, finite.

    Returns
    -------
    points : numpy.ndarray
        Their places, [n, 2].
    axis_names : tuple of str
        What the two axes are.
    remark : str
        Why this is no t-SNE; empty where it is one.

    Example
    -------
    >>> points, axis_names, remark = plane(np.array([[1.0, 5.0], [3.0, 5.0]]))
    >>> points.tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    >>> remark
    'only 2 different embeddings: principal components, no t-SNE'
    """
    features = standardised(embeddings)
    # Three times the same points have the same plane, and are never too few.
    enough = np.tile(np.pad(features, [(0, 0), (0, 1)]), (3, 1))
    points, shares = principal_components(enough)
    points = points[: len(features)]
    different = len(np.unique(features.round(6), axis=0))
    if different >= LEAST_POINTS:
        return neighbour_map(features, points), ("t-SNE 1", "t-SNE 2"), ""
    plural = "s" if different > 1 else ""
    return (
        points,
        component_names(shares),
        f"only {different} different embedding{plural}: principal components, "
        "no t-SNE",
    )


def neighbour_map(features, start):
    """Computes a t-SNE that starts at the given places, of any size.

    With more than one thread it takes many times longer where other work runs
    on the machine.
    """
    start = 1e-4 * start / start[:, 0].std()
    with threadpool_limits(1):
        return TSNE(
            perplexity=min(PERPLEXITY, (len(features) - 1) / 3),
            init=start.astype(np.float32),
            random_state=0,
        ).fit_transform(features)


def standardised(embeddings):
    """Gives each feature mean 0 and deviation 1; 0 where it does not change.

    Example
    -------
    >>> standardised(np.array([[1.0, 0.1], [3.0, 0.1 + 1e-9]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    spread = embeddings.std(axis=0)
    still = spread <= ROUNDING * np.abs(embeddings).max(axis=0)
    centred = embeddings - embeddings.mean(axis=0)
    return np.where(still, 0, centred / np.where(still, 1, spread))
