"""Runs that are done, made up, and table files to put them in."""

import random

from sklearn.metrics import recall_score

from speechbrain_ser.evaluation.metrics import confusion_by_speaker
from speechbrain_ser.scores import classification_metrics
from speechbrain_ser.table.cells import fill
from speechbrain_ser.table.layout import Column, Run, TableFile

CLASSES = ["ang", "hap", "sad", "neu"]
TEST = ("test",)
UA = Column("UA", "UA", TEST)
SPLIT = "29f14884" + "0" * 56


def table_file(rows=("ours",), columns=(UA,), seeds=(1, 2, 3), **more):
    """A table file with these rows and columns."""
    return TableFile(
        "t.yaml",
        "T",
        "train.py",
        "h.yaml",
        {row: {} for row in rows},
        {column.name: column for column in columns},
        list(seeds),
        **more,
    )


def done(row, seed, fold=None, test=None, **more):
    """A run that is done, with these metrics of the test part."""
    metrics = {
        "labels": CLASSES,
        "protocol": "p@1",
        "corpus": "nemo",
        "split_sha256": SPLIT,
        "parts_sha256": {"train": f"p{fold}", "test": f"e{fold}"},
        "device": "cpu",
        "code": "c0de",
        "sizes": {"train": 70, "test": 30},
        "metrics": {"test": test},
        "test_mean_of_last_epochs": None,
    }
    metrics.update(more)
    return Run(row, fold, seed, "key", "folder", "done", metrics=metrics)


def with_ua(row, shares, fold=None, first_seed=1, **more):
    """Runs of consecutive seeds with these UA."""
    return [
        done(row, seed, fold, {"UA": share}, **more)
        for seed, share in enumerate(shares, first_seed)
    ]


def absent(row, seed, status, note="", fold=None):
    """A run without metrics."""
    return Run(row, fold, seed, "key", "folder", status, note)


def made_up(n, seed, classes=CLASSES, speakers=6, skill=0.6):
    """Random labels, predictions and speakers."""
    draw = random.Random(seed)
    labels = draw.choices(classes, k=n)
    predictions = [
        label if draw.random() < skill else draw.choice(CLASSES)
        for label in labels
    ]
    return labels, predictions, [f"s{i % speakers}" for i in range(n)]


def scored(labels, predictions, speakers=None):
    """What the recipe writes of a part."""
    found = classification_metrics(labels, predictions, CLASSES)
    found["speakers"] = speakers and confusion_by_speaker(
        labels, predictions, CLASSES, speakers
    )
    return found


def ua(labels, predictions):
    """The mean recall of the classes that labels name, by scikit-learn."""
    return recall_score(
        labels, predictions, labels=sorted(set(labels)), average="macro"
    )


def only_cell(file, runs):
    """The one cell of a table."""
    (cell,) = fill(file, runs, CLASSES).cells.values()
    return cell


def unbalanced():
    """Two folds of different size, classes and skill, for two seeds."""
    data = {}
    for seed in (1, 2):
        data["a", seed] = made_up(90, seed, skill=0.9)
        data["b", seed] = made_up(12, 10 + seed, ["ang", "hap"], skill=0.2)
    return data


def folded(data, row="ours"):
    """The runs of such data."""
    return [
        done(row, seed, fold, scored(*found))
        for (fold, seed), found in data.items()
    ]
