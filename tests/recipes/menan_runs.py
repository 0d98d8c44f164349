"""What the tests of MEnAN's recipe share: settings, annotations, runs."""

import os
import pathlib

import pytest

from speechbrain_ser.corpora.annotations import (
    read_annotation,
    write_annotation,
)
from speechbrain_ser.experiment.hparams import with_overrides
from speechbrain_ser.figures import planes
from tests.recipes.helpers import (
    MENAN,
    check_sentence,
    import_script,
    own,
    run_recipe,
    undrawn,
    words,
)

SMALL = "hparams/menan_small.yaml"
LABELS = ["ang", "hap", "neu", "sad"]
ALL_SPEAKERS = [f"Ses0{i}_{gender}" for i in range(1, 6) for gender in "FM"]
OF_SPEAKERS = {"speaker_entropy", "speaker_loss", "speaker_accuracy"}


def run(*arguments, hparams=SMALL, drawn=False, **settings):
    """Runs the recipe in this process; returns its error or None."""
    with pytest.MonkeyPatch.context() as patch:
        if not drawn:
            undrawn(patch)
        patch.setattr(  # a t-SNE
            planes, "neighbour_map", lambda features, start: start
        )
        line = words(hparams, **settings)
        return run_recipe(patch, *line, *arguments, script=MENAN)


def plan(**settings):
    """Plans a run."""
    overrides = with_overrides("", **settings)
    return import_script(MENAN).plan(str(MENAN.parent / SMALL), overrides)


def read(folder, part):
    """What a run, or a test, wrote as annotation of a part."""
    return read_annotation(str(folder / f"{part}.json"))


def write(folder, **parts):
    """Writes annotations; returns the words that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, annotation in parts.items():
        write_annotation(str(folder / f"{part}.json"), annotation)
    return own(folder)


def turned(annotation):
    """The same utterances with another class each."""
    following = dict(zip(LABELS, LABELS[1:] + LABELS[:1]))
    return {
        key: entry | {"emotion": following[entry["emotion"]]}
        for key, entry in annotation.items()
    }


def tiny(corpus, cache_folder):
    """Settings that are tiny in all respects."""
    return {
        "data_folder": corpus,
        "device": "cpu",
        "fold": 4,
        "number_of_epochs": 2,
        "last_epochs": 1,
        "duration": 1.5,
        "channels": 8,
        "hidden_sizes": [8, 6],
        "batch_size": 8,
        "speaker_steps": 3,
        "speaker_memory": 24,
        "speaker_batch_size": 16,
        "speaker_probe": False,
        "compared_folder": None,
        "cache_folder": cache_folder,
    }


def train_once(held, base, settings, **more):
    """Trains, or finds what was trained before; returns the folder."""
    key = tuple(sorted(more.items()))
    if key not in held:
        folder = base / f"run{len(held)}"
        assert run(**settings | more, output_folder=folder) is None
        held[key] = folder
    return held[key]


def stamps(folder):
    """When each file of a run's training was written."""
    return {
        path: os.stat(path).st_mtime_ns
        for path in [*folder.glob("save/*/*"), folder / "curves.csv"]
    }


def check_refused(said, *line, output_folder, **settings):
    """One sentence, and nothing is written."""
    out = pathlib.Path(output_folder).parent / "refused"
    error = run(*line, **settings, output_folder=out)
    check_sentence(error, said)
    assert not out.exists()
