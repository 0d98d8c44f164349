"""Principal components and t-SNE are right."""

import warnings

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from speechbrain_ser.figures import planes
from speechbrain_ser.figures.planes import plane, principal_components
from tests.figures.helpers import by_svd, scores, speaker_system


def corners():
    """Makes up four tight groups of 12 at the corners of a long rectangle."""
    draw = np.random.default_rng(0)
    group = np.arange(48) % 4
    embeddings = 0.05 * draw.normal(size=(48, 6))
    embeddings[:, :3] += 3.0 * np.where(group < 2, -1, 1)[:, None]
    embeddings[:, 3:5] += np.where(group % 2, -1.0, 1)[:, None]
    return embeddings, group


@pytest.mark.parametrize(("n", "dims"), [(50, 7), (3, 2), (4, 30)])
@pytest.mark.parametrize("sign", [1, -1])
def test_principal_components_equal_svd(n, dims, sign):
    """Places, signs and shares, for more and fewer points than dimensions."""
    embeddings = sign * speaker_system(n, dims=dims)["embeddings"]
    points, shares = principal_components(embeddings)
    assert points.dtype == np.float64
    expected, expected_shares = by_svd(embeddings)
    np.testing.assert_allclose(points, expected, atol=1e-10)
    np.testing.assert_allclose(shares, expected_shares, atol=1e-12)
    single = embeddings.astype(np.float32)
    points, _ = principal_components(single)
    assert points.dtype == np.float64
    np.testing.assert_allclose(points, by_svd(single)[0], atol=1e-10)


def test_signs_do_not_depend_on_the_library(monkeypatch):
    """Its versions have other rules for them."""

    class Flipped(planes.PCA):
        """One that turns the first component round."""

        def fit_transform(self, embeddings):
            """Fits, then flips."""
            points = super().fit_transform(embeddings)
            self.components_[0] *= -1
            return points * [-1, 1]

    embeddings = speaker_system(20)["embeddings"]
    monkeypatch.setattr(planes, "PCA", Flipped)
    points, _ = principal_components(embeddings)
    np.testing.assert_allclose(points, by_svd(embeddings)[0], atol=1e-10)


def test_principal_components_by_hand():
    """A long axis and a short one, each with its share."""
    points, shares = principal_components([[1, 12], [1, 8], [2, 10], [0, 10]])
    np.testing.assert_allclose(
        points, [[2, 0], [-2, 0], [0, 1], [0, -1]], atol=1e-12
    )
    np.testing.assert_allclose(shares, [0.8, 0.2])


def test_equal_embeddings_have_no_variance():
    """Nothing is divided by nought, and nothing warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        points, shares = principal_components(np.ones((5, 4)))
    assert not points.any()
    assert shares.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("message", "embeddings"),
    [
        ("at least three", np.ones((2, 4))),
        ("at least three", np.ones((4, 1))),
        ("at least three", np.ones(9)),
        ("at least three", []),
        ("not finite", [[1, 2], [3, 4], [5, np.nan]]),
        ("not finite", [[1, 2], [3, 4], [5, np.inf]]),
    ],
)
def test_no_components(message, embeddings):
    """Too few embeddings or dimensions, or a number that is none."""
    with pytest.raises(ValueError, match=message):
        principal_components(embeddings)


@pytest.mark.parametrize("n", [3, 5, 9])
def test_few_points_lie_in_the_plane_of_principal_components(n):
    """Of the standardised features, with their shares of the variance."""
    embeddings = speaker_system(n)["embeddings"]
    # The same ones in another batch differ by rounding.
    noise = 1e-9 * np.random.default_rng(0).normal(size=(4 * n, 5))
    points, names, remark = plane(np.tile(embeddings, (4, 1)) + noise)
    features = np.transpose([scores(row) for row in embeddings.T.tolist()])
    expected, shares = by_svd(features)
    np.testing.assert_allclose(points, np.tile(expected, (4, 1)), atol=1e-7)
    assert names == (
        f"PC 1 ({100 * shares[0]:.1f} % of variance)",
        f"PC 2 ({100 * shares[1]:.1f} % of variance)",
    )
    assert remark.startswith(f"only {n} different embeddings:")


@pytest.mark.parametrize(
    ("embeddings", "expected", "different"),
    [
        ([[5.0, 7.0]], [[0, 0]], 1),
        ([[5.0]], [[0, 0]], 1),
        ([[5.0], [9.0]], [[-1, 0], [1, 0]], 2),
        ([[0.3, 0.7]] * 7, [[0, 0]] * 7, 1),
        ([[0.3], [0.3 + 1e-8]] * 20, [[0, 0]] * 40, 1),
        ([[0.0, 1.0], [0.0, 3.0]], [[-1, 0], [1, 0]], 2),
    ],
)
def test_points_that_have_no_plane(embeddings, expected, different):
    """Nothing is divided by nought, and rounding is no difference."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        points, _, remark = plane(np.array(embeddings))
    np.testing.assert_allclose(points, expected, atol=1e-12)
    assert remark.startswith(f"only {different} different embedding")


def test_a_dead_feature_adds_nothing():
    """Nor does noise of rounding on one that does not change."""
    embeddings = speaker_system(8)["embeddings"]
    expected, _, _ = plane(embeddings)
    noise = np.random.default_rng(0).normal(size=(8, 1))
    more = np.hstack([embeddings, np.zeros((8, 1)), 7 + 1e-7 * noise])
    points, _, _ = plane(more)
    np.testing.assert_allclose(points, expected, atol=1e-9)


def test_t_sne_keeps_groups():
    """Neighbours stay neighbours."""
    embeddings, group = corners()
    points, names, remark = plane(embeddings)
    assert (names, remark) == (("t-SNE 1", "t-SNE 2"), "")
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    distances += np.where(np.eye(48), np.inf, 0)
    assert (group[distances.argmin(axis=1)] == group).all()


def test_t_sne_does_not_see_the_scale_of_a_feature():
    """Powers of two change no digit; nor does the state of the generator."""
    embeddings, _ = corners()
    points, _, _ = plane(embeddings[:24])
    np.random.seed(5)
    scaled = embeddings[:24] * [1, 2, 1024, 0.5, 1 / 64, 4096]
    np.testing.assert_array_equal(plane(scaled)[0], points)


def test_t_sne_of_equal_points():
    """Ten groups of the same points are ten places."""
    embeddings = np.random.default_rng(0).normal(size=(10, 3))
    points, _, remark = plane(np.repeat(embeddings, 9, axis=0))
    assert remark == ""
    assert np.isfinite(points).all()
    groups = points.reshape(10, 9, 2)
    centres = groups.mean(axis=1)
    gaps = np.linalg.norm(centres[:, None] - centres, axis=2)
    inside = np.abs(groups - centres[:, None]).max()
    assert inside < 0.1 * gaps[gaps > 0].min()


@pytest.mark.parametrize(("n", "perplexity"), [(10, 3), (91, 30), (300, 30)])
def test_how_t_sne_is_called(monkeypatch, n, perplexity):
    """A small start, neighbours fewer than points, one thread."""
    calls = []

    class Recorder:
        """Stands for scikit-learn's."""

        def __init__(self, **settings):
            """Keeps the settings."""
            calls.append(settings)

        def fit_transform(self, features):
            """Notes the threads."""
            calls[-1]["threads"] = {
                pool["num_threads"] for pool in threadpool_info()
            }
            return features[:, :2]

    monkeypatch.setattr(planes, "TSNE", Recorder)
    embeddings = speaker_system(n)["embeddings"]
    with threadpool_limits(2):
        plane(embeddings)
    (call,) = calls
    assert call["threads"] == {1}
    assert call["perplexity"] == perplexity
    assert call["init"].std(axis=0)[0] == pytest.approx(1e-4)
    features = np.transpose([scores(row) for row in embeddings.T.tolist()])
    expected, _ = by_svd(features)
    np.testing.assert_allclose(
        call["init"] * expected[:, 0].std() / 1e-4, expected, atol=1e-5
    )
