"""LPMN's selection of prototypes: sets, probes, names."""

import numpy as np
import pytest
import torch

from speechbrain_ser.evaluation.prototype_selection import (
    Sizes,
    loudest_classes,
    names_of,
    probed,
    selected_parts,
    sets_of,
    sizes_of,
)
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import REPORT

LABELS = ["ang", "sad", "neu"]


@pytest.mark.parametrize(
    "given, sizes",
    [
        (None, []),
        ("60,512", [512, 60]),
        ([30, 60, 30], [60, 30]),
        (8, [8]),
        ("512", [512]),
    ],
)
def test_sizes_are_read_as_they_are_typed(given, sizes):
    """Each once, the largest first; they count for the report alone."""
    assert Sizes().mend(given) is None
    assert sizes_of(given, 512) == sizes
    assert Sizes().counts == REPORT


@pytest.mark.parametrize("given", ["words", [8.7], 8.5, [8, 0], "8,,4", -1])
def test_other_sizes_are_refused(given):
    """With an example."""
    assert "such as 512,60" in Sizes().mend(given)


def test_no_more_than_all_can_be_selected():
    """All of them can."""
    assert sizes_of([16], 16) == [16]
    with pytest.raises(InputError, match="--n_selected 17: .* from 1 to 16"):
        sizes_of([4, 17], 16)


def test_parts_are_those_of_the_sets():
    """And none without prototypes, whatever is asked for."""
    settings = {"pooling": "lpmn", "n_selected": "4,8", "n_prototypes": 16}
    expected = tuple(f"test_{name}" for name in names_of([8, 4]))
    assert selected_parts(settings) == expected
    assert selected_parts(settings | {"n_selected": None}) == ()
    assert selected_parts(settings | {"pooling": "max"}) == ()


def test_sets_are_the_best_and_random_ones():
    """Random ones are drawn by the seed, whatever the ranking."""
    ranking = torch.tensor([3, 1, 4, 0, 2])
    sets = sets_of(ranking, [4, 2], seed=1)
    assert list(sets) == ["all", "4", "2", "random_4", "random_2"]
    assert sets["all"] is None
    assert sets["4"].tolist() == [3, 1, 4, 0]
    assert sets["2"].tolist() == [3, 1]
    for size in (4, 2):
        assert len(set(sets[f"random_{size}"].tolist())) == size
    again = sets_of(ranking.flip(0), [4, 2], seed=1)
    other = sets_of(ranking, [4, 2], seed=2)
    assert torch.equal(sets["random_4"], again["random_4"])
    assert any(
        not torch.equal(sets[name], other[name])
        for name in ("random_4", "random_2")
    )
    assert sets_of(ranking, [], seed=1) == {}


def predictions_of(n, labels=LABELS, seed=0):
    """Utterances whose features tell the class, and a valence."""
    draw = np.random.default_rng(seed)
    found = {}
    for i in range(n):
        place = i % len(labels)
        feature = 3 * np.eye(3)[place] + 0.1 * draw.normal(size=3)
        found[f"{seed}-{i}"] = {
            "pooled_all": torch.tensor(feature).float(),
            "posterior": torch.full((len(LABELS),), 1 / len(LABELS)),
            "valence": torch.tensor(0.0),
            "entry": {"emotion": labels[place], "valence": 2.0 * place},
        }
    return found


@pytest.mark.parametrize("valid", [0, 9])
def test_probe_predicts_emotion_and_valence(valid):
    """What it was given stays as it was."""
    predictions = {
        "train": predictions_of(30),
        "valid": predictions_of(valid, seed=1),
        "test": predictions_of(12, seed=2),
    }
    predictions["train"]["0-0"]["entry"]["emotion"] = None
    predictions["test"]["2-0"]["entry"]["emotion"] = None
    _, found = probed("all", predictions, LABELS, valence=True)
    assert found.keys() == predictions["test"].keys()
    for i, prediction in enumerate(found.values()):
        assert float(prediction["posterior"].sum()) == pytest.approx(1)
        assert int(prediction["posterior"].argmax()) == i % 3
    told = [float(prediction["valence"]) for prediction in found.values()]
    assert max(told[0::3]) < min(told[1::3]) < max(told[1::3]) < min(told[2::3])
    if valid:  # by which the penalty is chosen
        assert told == pytest.approx([0.0, 2.0, 4.0] * 4, abs=0.8)
    kept = next(iter(predictions["test"].values()))
    assert float(kept["posterior"][0]) == pytest.approx(1 / 3)
    assert float(kept["valence"]) == 0.0


def test_class_that_no_probe_saw_is_not_predicted():
    """Its posterior is 0, in its place."""
    two = {
        name: predictions_of(12, ["sad", "neu"], i)
        for i, name in enumerate(("train", "valid", "test"))
    }
    model, found = probed("all", two, LABELS)
    assert all(float(p["posterior"][0]) == 0 for p in found.values())
    classes = loudest_classes(model)
    assert classes[:2] == ["sad", "neu"]


def test_each_prototype_speaks_for_its_class():
    """Three classes on three prototypes."""
    predictions = {
        "train": predictions_of(30),
        "valid": predictions_of(9, seed=1),
        "test": predictions_of(3, seed=2),
    }
    model, _ = probed("all", predictions, LABELS, balanced=True)
    assert loudest_classes(model) == LABELS
