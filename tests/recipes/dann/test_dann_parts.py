"""What DANN's recipe trains on and evaluates, planned as the recipe does."""

import pytest

from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.recola import read_recola
from tests.recipes.dann_runs import CLASSES, plan

DIRECTIONS = {
    "rec2iem": ("recola", "iemocap"),
    "iem2rec": ("iemocap", "recola"),
}
# Above which an utterance is of the upper class (section 3.3).
THRESHOLDS = {"recola": 0.0, "iemocap": 2.5}


@pytest.fixture(scope="module")
def ratings(folders):
    """Corpus to dimension to id to value, as the corpora have it."""
    read_corpora = {
        "recola": read_recola(folders["recola_folder"]),
        "iemocap": read_iemocap(folders["iemocap_folder"], labels=None),
    }
    return {
        corpus: {
            task: {key: entry[task] for key, entry in annotation.items()}
            for task in CLASSES
        }
        for corpus, annotation in read_corpora.items()
    }


@pytest.mark.parametrize(
    "system, direction, task",
    [
        # each two of the three meet
        ("dann", "rec2iem", "arousal"),
        ("dann", "iem2rec", "valence"),
        ("base", "rec2iem", "valence"),
        ("base", "iem2rec", "arousal"),
        ("mono", "rec2iem", "arousal"),
        ("mono", "iem2rec", "valence"),
    ],
)
def test_parts_of_each_experiment(system, direction, task, folders, ratings):
    """Classes by the papers' thresholds, shares by class, penalty, name."""
    planned = plan(**folders, system=system, direction=direction, task=task)
    parts, (low, high) = planned.parts, CLASSES[task]
    truth = {}
    for corpus, held in ratings.items():
        truth[corpus] = {
            key: high if value > THRESHOLDS[corpus] else low
            for key, value in held[task].items()
        }
    source, target = (truth[corpus] for corpus in DIRECTIONS[direction])
    found = {
        name: {key: entry.get("emotion") for key, entry in part.items()}
        for name, part in parts.items()
    }
    domains = {
        name: {entry["domain"] for entry in part.values()}
        for name, part in parts.items()
    }
    tested, chosen = found["test"], found["valid"]
    if system == "mono":
        assert planned.protocol == "mono-lingual@1"
        whole = found["train"] | chosen | tested
        assert len(found["train"]) + len(chosen) + len(tested) == len(whole)
        shares = {"test": 0.25, "valid": 0.05}
        assert domains == dict.fromkeys(found, {0})
        trained_on = DIRECTIONS[direction][1]
    else:
        assert planned.protocol == "cross-lingual@1"
        assert found["train"] == source
        assert found["target"] == dict.fromkeys(target)
        whole = chosen | tested
        assert len(chosen) + len(tested) == len(whole)
        shares = {"valid": 0.3}
        assert domains["train"] == {0}
        assert domains["target"] == domains["valid"] == {1}
        assert domains["test"] == {1}
        trained_on = DIRECTIONS[direction][0]
    assert whole == target
    for name, share in shares.items():
        for word in (low, high):
            count = list(found[name].values()).count(word)
            wanted = share * list(target.values()).count(word)
            assert abs(count - wanted) <= 1 and count
    penalty = {"recola": "l1", "iemocap": "l2"}[trained_on]
    assert planned.settings["penalty"] == penalty
    assert planned.settings["labels"] == [low, high]


def test_thresholds_are_settings(folders, ratings):
    """Named behind the protocol; an equal value is of the lower class."""
    edge = sorted(ratings["iemocap"]["arousal"].values())[40]
    planned = plan(**folders, iemocap_threshold=edge)
    assert planned.protocol == f"cross-lingual@1 with iemocap_threshold {edge}"
    held = planned.parts["test"] | planned.parts["valid"]
    for key, value in ratings["iemocap"]["arousal"].items():
        assert held[key]["emotion"] == ("high" if value > edge else "low")


@pytest.mark.parametrize("system", ["dann", "mono"])
def test_split_by_speaker(system, folders):
    """Nobody stands on two sides; IEMOCAP's speakers have six each."""
    planned = plan(**folders, system=system, split_by="speaker")
    name = "mono-lingual@1" if system == "mono" else "cross-lingual@1"
    assert planned.protocol == f"{name} with split_by speaker"
    speakers = {
        part: {entry["speaker"] for entry in planned.parts[part].values()}
        for part in ("train", "valid", "test")
    }
    assert all(speakers.values())
    everybody = set().union(*speakers.values())
    assert sum(map(len, speakers.values())) == len(everybody)


def test_the_source_may_choose_the_epoch(folders):
    """The tested utterances are the paper's; the target chooses nothing."""
    paper = plan(**folders)
    planned = plan(**folders, valid_language="source")
    named = "cross-lingual@1 with valid_language source"
    assert planned.protocol == named
    assert planned.parts["test"] == paper.parts["test"]
    halves = planned.parts["train"], planned.parts["valid"]
    assert not halves[0].keys() & halves[1].keys()
    assert halves[0] | halves[1] == paper.parts["train"]
    assert len(halves[1]) == 4  # a tenth of 24 and 24
