"""Whether a model folder says what the recipe said that it is from."""

import csv
import json

import torch

from speechbrain_ser.inference.export import export
from speechbrain_ser.inference.recognizer import EmotionRecognizer
from speechbrain_ser.utils.audio import load_audio


def table(path):
    """The rows of a CSV of the part that tests, by id."""
    with open(path, encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "test"]
    return {row["id"]: row for row in rows}


def tested(run, rows):
    """What tests, in the recipe's order, in pieces where it was: id, entry."""
    path = run / "test.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    # of two languages: which of the target tests, the split said
    target = json.loads((run / "target.json").read_text(encoding="utf-8"))
    return {key: entry for key, entry in target.items() if key in rows}


def labelled(recognizer, entries, most=None):
    """What a recognizer says in the recipe's own batches, by id."""
    keys = list(entries)
    batches = recognizer.batches([entries[k]["duration"] for k in keys])
    batches = batches[:most]
    some = sorted(i for batch in batches for i in batch)
    held = {
        i: recognizer.frames(
            load_audio(entries[keys[i]], recognizer.sample_rate)
        )
        for i in some
    }
    own = {}
    if recognizer.by == "speaker":
        for i in some:
            own.setdefault(entries[keys[i]]["speaker"], []).append(held[i])
        own = {who: recognizer.statistics(all_) for who, all_ in own.items()}
    found = {}
    for batch in batches:
        statistics = [own.get(entries[keys[i]].get("speaker")) for i in batch]
        results = recognizer.classify([held[i] for i in batch], statistics)
        for i, result in zip(batch, results):
            found[keys[i]] = result
    return found


def merged(recognizer, entries, found):
    """The outcome of each utterance, of its pieces if it was in pieces."""
    pieces = {}
    for key, result in found.items():
        entry = entries[key]
        name = entry.get("utterance", key)
        pieces.setdefault(name, []).append((result, entry["duration"]))
    return {
        name: recognizer.outcome(*map(list, zip(*parts)))
        for name, parts in pieces.items()
    }


def check_alike(run, folder, encoder_folder=None):
    """A run, and the folder that it is exported to, say what it predicted.

    Arguments
    ---------
    run : pathlib.Path
        Of a recipe that classifies.
    folder : pathlib.Path
        Not there yet.
    encoder_folder : pathlib.Path, optional
        Where the pre-trained encoder lies, if there is one that is not copied.
    """
    rows = table(run / "predictions.csv")
    config = export(str(run), str(folder))
    copied = config["encoder"] is None or config["encoder"]["copied"]
    recognizer = EmotionRecognizer.from_folder(
        folder, None if copied else str(encoder_folder), "cpu"
    )
    recognizer.temperature = 1.0
    entries = tested(run, rows)
    found = labelled(recognizer, entries)
    direct = EmotionRecognizer.from_run(run, device="cpu")
    again = labelled(direct, entries, 1)
    said = merged(recognizer, entries, found)
    assert len(said) == len(rows) > 0
    for key, row in rows.items():
        for word, value in said[key].posterior.items():
            # written with six digits
            assert abs(value - float(row[f"posterior_{word}"])) <= 5.2e-7
        assert said[key].label == row["prediction"]
        for name, value in said[key].own.items():
            if name in row:
                assert abs(value - float(row[name])) <= 5.2e-7
    for key, result in again.items():
        for name, value in result.items():
            assert torch.equal(value, found[key][name]), name
    assert direct.own == recognizer.own
    assert str(run.parent) not in (folder / "config.json").read_text("utf-8")
    assert str(run.parent) not in (folder / "README.md").read_text("utf-8")
