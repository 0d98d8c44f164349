"""A probe's temperature: of speakers that no fit of it heard."""

import math

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from speechbrain_ser.methods.probe_choice import CLASSIFIERS
from speechbrain_ser.methods.probe_temperature import held_out_temperature
from speechbrain_ser.utils.temperature import fit_temperature, mean_loss

CLASSES = 3


def speech(n_speakers=4, n=18, seed=0):
    """Vectors of speakers, whose emotions can be told half of the time."""
    rng = np.random.default_rng(seed)
    speakers = [f"s{i % n_speakers}" for i in range(n_speakers * n)]
    labels = np.array([i // n_speakers % CLASSES for i in range(len(speakers))])
    vectors = rng.normal(size=(len(labels), 6)) * 4 + 9
    vectors[np.arange(len(labels)), labels] += 5
    return vectors, labels, speakers


def found_by(vectors, labels, speakers, groups=2, kind="logistic", C=1.0):
    """What the probe keeps."""
    kind = CLASSIFIERS[kind]
    return held_out_temperature(
        vectors,
        labels,
        speakers,
        groups,
        lambda *own: kind.linear(kind.fit(*own, C)),
        CLASSES,
        kind.pairwise,
    )


def test_it_is_that_of_held_out_speakers():
    """scikit-learn, speaker by speaker, gives the same posteriors."""
    vectors, labels, speakers = speech()
    found = found_by(vectors, labels, speakers, groups=4)
    posteriors = np.empty((len(labels), CLASSES))
    for name in set(speakers):
        held = np.array([speaker == name for speaker in speakers])
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=1.0, max_iter=2000)
        )
        model.fit(vectors[~held], labels[~held])
        posteriors[held] = model.predict_proba(vectors[held])
    expected = fit_temperature(posteriors, labels)
    assert found["temperature"] == pytest.approx(expected, rel=1e-4)
    assert found["fitted_on"] == "held-out speakers"
    assert (found["n"], found["speakers"], found["groups"]) == (72, 4, 4)
    losses = found["held_out_NLL"], found["held_out_NLL_tempered"]
    assert losses[0] == pytest.approx(mean_loss(posteriors, labels), rel=1e-5)
    assert losses[1] < losses[0]


def test_a_fit_on_itself_would_be_surer():
    """What the speech that was fitted on gives is another, lower one."""
    vectors, labels, speakers = speech()
    vectors = np.hstack([vectors, speech(seed=1)[0], speech(seed=2)[0]])
    scaled = StandardScaler().fit_transform(vectors)
    model = LogisticRegression(C=100.0, max_iter=2000).fit(scaled, labels)
    heard = fit_temperature(model.predict_proba(scaled), labels)
    found = found_by(vectors, labels, speakers, C=100.0)
    assert heard < 1 < found["temperature"]


def test_votes_have_one_too():
    """Of support vectors: the softmax of the wins."""
    vectors, labels, speakers = speech()
    found = found_by(vectors, labels, speakers, groups=4, kind="svm")
    posteriors = np.empty((len(labels), CLASSES))
    for name in set(speakers):
        held = np.array([speaker == name for speaker in speakers])
        model = make_pipeline(
            StandardScaler(),
            SVC(C=1.0, kernel="linear", break_ties=True),
        ).fit(vectors[~held], labels[~held])
        wins = np.exp(model.decision_function(vectors[held]))
        posteriors[held] = wins / wins.sum(axis=1, keepdims=True)
    expected = fit_temperature(posteriors, labels)
    assert found["temperature"] == pytest.approx(expected, rel=1e-4)


def test_where_there_is_none():
    """Each time the reason."""
    vectors, labels, speakers = speech()

    def reason(vectors, labels, speakers):
        """Why there is none."""
        found = found_by(vectors, labels, speakers)
        assert found["temperature"] is None and found["fitted_on"] is None
        return found["reason"]

    nobody = [None, *speakers[1:]]
    assert "has no speaker" in reason(vectors, labels, nobody)
    alone = ["s"] * len(speakers)
    assert "one speaker alone" in reason(vectors, labels, alone)
    two = np.array([s in ("s0", "s2") for s in speakers])
    told = np.where(two, labels, np.minimum(labels, 1))
    assert "one group of speakers" in reason(vectors, told, speakers)
    clear = vectors * 0 + 40 * np.eye(CLASSES)[labels] @ np.eye(CLASSES, 6)
    assert "named rightly" in reason(clear, labels, speakers)


def test_numbers_are_plain():
    """So that a checkpoint can hold them."""
    found = found_by(*speech())
    assert all(type(v) in (int, float, str) for v in found.values())
    assert all(math.isfinite(v) for v in found.values() if type(v) is float)
