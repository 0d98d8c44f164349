"""What clusters say is as scikit-learn and plain loops compute it."""

import math
from collections import Counter

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from speechbrain_ser.evaluation.cluster_information import (
    PERMUTATIONS,
    cluster_information,
    cluster_sizes,
)


def corpus(seed, clusters=30, utterances=40, frames=2000, kinds="ahns"):
    """Makes up frames whose clusters go by the utterance's word a little."""
    generator = np.random.default_rng(seed)
    words = generator.choice(list(kinds), size=utterances).tolist()
    places = generator.integers(0, utterances, frames)
    shift = np.array([kinds.index(word) for word in words])[places]
    labels = (generator.integers(0, clusters // 2, frames) + shift) % clusters
    return labels.astype(np.uint16), places, words


def by_loops(labels, words):
    """Computes the normalised mutual information from its definition."""
    count = len(labels)
    clusters, kinds = Counter(labels), Counter(words)
    shared = sum(
        both / count * math.log(both * count / clusters[label] / kinds[word])
        for (label, word), both in Counter(zip(labels, words)).items()
    )
    entropies = [
        -sum(n / count * math.log(n / count) for n in counts.values())
        for counts in (clusters, kinds)
    ]
    return shared / (sum(entropies) / 2)


@pytest.mark.parametrize("seed", range(4))
def test_as_scikit_learn_and_as_defined(seed):
    """The frame's cluster against the word of its utterance."""
    labels, utterances, words = corpus(seed)
    found = cluster_information(labels, utterances, words)
    of_frames = [words[place] for place in utterances]
    expected = normalized_mutual_info_score(labels, of_frames)
    assert found["nmi"] == pytest.approx(expected, rel=1e-9)
    loops = by_loops(labels.tolist(), of_frames)
    assert found["nmi"] == pytest.approx(loops, rel=1e-9)
    assert 0.05 < found["nmi"] < 0.5
    assert found["chance"] < found["nmi"] / 2


def test_chance_permutes_words_over_utterances():
    """The mean of five, each as scikit-learn has it; the seed decides."""
    labels, utterances, words = corpus(5)
    generator = np.random.default_rng(11)
    expected = [
        normalized_mutual_info_score(
            labels, generator.permutation(words)[utterances]
        )
        for _ in range(5)
    ]
    assert PERMUTATIONS == 5
    assert len(set(expected)) == 5
    found = cluster_information(labels, utterances, words, seed=11)
    assert found["chance"] == pytest.approx(np.mean(expected), rel=1e-9)
    assert found == cluster_information(labels, utterances, words, seed=11)
    other = cluster_information(labels, utterances, words, seed=12)
    assert other["nmi"] == found["nmi"]
    assert other["chance"] != found["chance"]


def test_clusters_that_only_tell_utterances_apart_are_at_chance():
    """They know any word; permuting frames would not show that."""
    utterances = np.repeat(np.arange(12), 30)
    words = ["f", "m", "f"] * 4
    found = cluster_information(utterances, utterances, words)
    of_frames = np.array(words)[utterances]
    expected = normalized_mutual_info_score(utterances, of_frames)
    assert expected > 0.3
    assert found["nmi"] == pytest.approx(expected, rel=1e-9)
    assert found["chance"] == pytest.approx(expected, rel=1e-9)
    shuffled = np.random.default_rng(0).permutation(of_frames)
    assert normalized_mutual_info_score(utterances, shuffled) < 0.1


def test_utterances_without_a_word_are_left_out():
    """As if their frames were not there; nor does chance use them."""
    labels, utterances, words = corpus(6)
    known = np.array([place % 3 != 1 for place in range(len(words))])
    some = [word if has else None for word, has in zip(words, known)]
    kept = known[utterances]
    renumbered = np.cumsum(known) - 1
    expected = cluster_information(
        labels[kept],
        renumbered[utterances[kept]],
        [word for word in some if word is not None],
    )
    found = cluster_information(labels, utterances, some)
    assert found == pytest.approx(expected, rel=1e-9)
    assert found != pytest.approx(
        cluster_information(labels, utterances, words), rel=1e-3
    )


def test_the_order_of_frames_and_the_numbers_of_clusters_do_not_matter():
    """Only who is together with whom counts."""
    labels, utterances, words = corpus(7)
    found = cluster_information(labels, utterances, words)
    generator = np.random.default_rng(0)
    order = generator.permutation(len(labels))
    other = generator.permutation(4096)[labels]
    assert cluster_information(
        other[order], utterances[order], words
    ) == pytest.approx(found, rel=1e-9)


def test_one_word_or_one_cluster_says_nothing():
    """Nothing is divided by nought."""
    nothing = {"nmi": 0, "chance": 0}
    assert cluster_information([0, 1, 2], [0, 0, 1], ["f", "f"]) == nothing
    assert cluster_information([3, 3, 3], [0, 0, 1], ["f", "m"]) == nothing
    assert cluster_information([0, 0, 0], [0, 0, 1], ["f", "f"]) == nothing


@pytest.mark.parametrize(
    ("message", "labels", "utterances", "words"),
    [
        ("not both", [0, 1], [0], "fm"),
        ("not both", [[0, 1]], [[0, 1]], "fm"),
        ("0 to 2 .* 2 utterances", [0, 1], [0, 2], "fm"),
        ("-1 to 1 .* utterances", [0, 1], [-1, 1], "fm"),
        ("-1 to 1 .* clusters", [-1, 1], [0, 1], "fm"),
        ("no frame", [0, 1], [1, 1], ["f", None]),
        ("no frame", [], [], "fm"),
    ],
)
def test_what_does_not_fit_is_refused(message, labels, utterances, words):
    """In words that name what is wrong."""
    with pytest.raises(ValueError, match=message):
        cluster_information(
            np.array(labels, dtype=int), np.array(utterances, dtype=int), words
        )


def test_sizes_are_counts():
    """Of all clusters, also of those without frames."""
    labels, _, _ = corpus(8)
    sizes = cluster_sizes(labels, 64)
    assert sizes.shape == (64,)
    assert sizes.tolist() == [list(labels).count(one) for one in range(64)]
    assert sizes.sum() == len(labels)
    assert 0 in sizes.tolist()
    assert cluster_sizes([], 3).tolist() == [0, 0, 0]


@pytest.mark.parametrize("wrong", [4, -1])
def test_a_label_that_is_no_cluster_is_refused(wrong):
    """Neither beyond the end nor from the end."""
    with pytest.raises(ValueError, match="4 clusters"):
        cluster_sizes([0, 3, wrong], 4)
