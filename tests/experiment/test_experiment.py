"""What an experiment does with its parts before it trains."""

import pytest

from speechbrain_ser.experiment.experiment import Experiment

LONG = {"wav": "a.wav", "start": 0, "stop": 48000, "duration": 3.0}
PARTS = ("train", "unlabelled", "target", "valid", "test")


@pytest.mark.parametrize("how", ["cut", "split"])
def test_no_speech_is_evaluated_in_part(how):
    """Only what trains loses its ends; the samples are counted."""
    experiment = Experiment(
        output_folder="out",
        corpus_name="c",
        labels=["sad"],
        seed=1,
        max_duration=2.0,
        long_utterances=how,
    )
    parts = {name: {name: dict(LONG)} for name in PARTS}
    shortened, notes = experiment.shorten(parts)
    for name in PARTS:
        kept = list(shortened[name].values())
        samples = sum(entry["stop"] - entry["start"] for entry in kept)
        whole = how == "split" or name in ("valid", "test")
        assert samples == (48000 if whole else 32000), name
    noted = {note.split(":")[0] for note in notes}
    assert noted == (
        set(PARTS) if how == "split" else {"train", "unlabelled", "target"}
    )
    assert parts["train"] == {"train": LONG}
