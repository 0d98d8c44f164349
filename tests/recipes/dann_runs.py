"""What the tests of DANN's recipe share: corpora, settings, runs."""

import math
import re

import numpy as np
import pytest

from speechbrain_ser.corpora.annotations import (
    read_annotation,
    write_annotation,
)
from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
from speechbrain_ser.experiment.hparams import with_overrides
from tests.recipes.helpers import (
    DANN,
    check_sentence,
    import_script,
    results,
    run_recipe,
    table,
    undrawn,
    words,
)

PAPER = "hparams/dann.yaml"
CLASSES = {"arousal": ["low", "high"], "valence": ["negative", "positive"]}
LANGUAGES = ("source", "target")
DOMAIN = {"domain_loss", "domain_UA"}


def make_folders(tmp_path_factory, mini_recola_folder):
    """Two small mini corpora, once a session: 48 and 60 utterances."""
    home = tmp_path_factory.getbasetemp() / "two languages"
    return {
        "recola_folder": mini_recola_folder,
        "iemocap_folder": mini_iemocap(str(home), utterances_per_speaker=6),
    }


def make_settings(tmp_path_factory, folders):
    """Tiny in all respects; the output folder is to be added."""
    return folders | {
        "device": "cpu",
        "number_of_epochs": 2,
        "last_epochs": 2,
        "n_filters": 16,
        "batch_size": 8,
        "cache_folder": tmp_path_factory.getbasetemp() / "log_mel",
    }


def run(*arguments, drawn=False, **settings):
    """Runs the recipe in this process; returns its error or None."""
    with pytest.MonkeyPatch.context() as patch:
        if not drawn:  # more than half the time of a run
            undrawn(patch)
        line = words(PAPER, **settings)
        return run_recipe(patch, *line, *arguments, script=DANN)


def plan(**settings):
    """Plans a run."""
    overrides = with_overrides("", **settings)
    return import_script(DANN).plan(str(DANN.parent / PAPER), overrides)


def own(folder):
    """The settings for annotations of one's own."""
    return {
        "skip_prep": True,
        "source_annotation": folder / "source.json",
        "target_annotation": folder / "target.json",
    }


def read(folder, language):
    """What a run, or a test, wrote as annotation."""
    return read_annotation(str(folder / f"{language}.json"), labelled=False)


def write(folder, **languages):
    """Writes annotations; returns the settings that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    for language, annotation in languages.items():
        write_annotation(str(folder / f"{language}.json"), annotation)
    return own(folder)


def turned(annotation):
    """The same utterances with the other class each."""
    pairs = {a: b for two in CLASSES.values() for a, b in (two, two[::-1])}
    return {
        key: entry | {"emotion": pairs[entry["emotion"]]}
        for key, entry in annotation.items()
    }


def bare(annotation):
    """Without labels and ratings."""
    dropped = ("emotion", "arousal", "valence", "dominance", "votes")
    return {
        key: {k: v for k, v in entry.items() if k not in dropped}
        for key, entry in annotation.items()
    }


def posteriors(folder, part):
    """Id to posterior of the upper class, as predictions.csv has it."""
    return {
        row["id"]: row["posterior_high"]
        for row in table(folder / "predictions.csv")
        if row["part"] == part
    }


def reported(found):
    """Takes the report's digest out of `results`: its settings differ."""
    return found[0].pop("report")


def computed(folder):
    """How many features a run computed, of source and target."""
    log = (folder / "log.txt").read_text()
    found = re.findall(r"features of the (\w+): (\d+) utterances comp", log)
    return {language: int(count) for language, count in found}


def check_report(folder, columns):
    """Computes the metrics again from the predictions; looks at the curves."""
    metrics, curves, _ = results(folder)
    rows = table(folder / "predictions.csv")
    labels = metrics["labels"]
    for part, score in metrics["metrics"].items():
        held = [row for row in rows if row["part"] == part]
        assert len(held) == metrics["sizes"][part]
        truth = [row["label"] for row in held]
        guessed = [row["prediction"] for row in held]
        recalls = []
        for word in labels:
            hits = [g == word for t, g in zip(truth, guessed) if t == word]
            recalls.append(sum(hits) / len(hits))
        assert score["UA"] == pytest.approx(sum(recalls) / len(recalls))
        for row in held:
            values = [float(row[f"posterior_{word}"]) for word in labels]
            assert row["prediction"] == labels[int(np.argmax(values))]
            assert sum(values) == pytest.approx(1, abs=1e-5)
    for row in curves:
        assert {name for name in row if name.startswith("domain")} == columns
        assert all(math.isfinite(float(value)) for value in row.values())
        for name in columns & {"domain_UA"}:
            assert 0 <= float(row[name]) <= 1


def check_refused(said, settings, out, also=()):
    """One sentence, and nothing is written."""
    error = run(**settings | {"output_folder": out})
    check_sentence(error, said)
    for word in also:
        assert str(word) in error
    assert not out.exists()
