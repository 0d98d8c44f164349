"""What the tests of IPR's recipe share: settings, annotations, runs."""

import pytest

from speechbrain_ser.corpora.annotations import write_annotation
from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.protocols.iemocap import AMBIGUITY
from tests.recipes import helpers
from tests.recipes.helpers import run_recipe, undrawn, words

LOGMEL = "hparams/ipr_logmel.yaml"
PARTS = ("train", "unlabelled", "valid", "test")
# one epoch of three is a warm-up
SHORT = {
    "device": "cpu",
    "number_of_epochs": 3,
    "warmup_epochs": 1,
    "warmup_updates": 0,
    "last_epochs": 1,
}
TINY = SHORT | {"channels": 8, "embedding_dim": 8, "hidden_dim": 8}


def run(*arguments, hparams=LOGMEL, drawn=False, **settings):
    """Runs the recipe in this process; returns its error or None."""
    with pytest.MonkeyPatch.context() as patch:
        if not drawn:
            undrawn(patch)
        return run_recipe(patch, *words(hparams, **settings), *arguments)


def write_parts(folder, corpus, most=24):
    """Writes annotations of so many utterances a part; returns the folder."""
    parts = AMBIGUITY.split(read_iemocap(corpus), test_size=0.4)
    for part, annotation in parts.items():
        kept = list(annotation.items())[:most]
        write_annotation(str(folder / f"{part}.json"), dict(kept))
    return folder


def own(folder):
    """The arguments for annotations of one's own."""
    return [str(word) for word in helpers.own(folder, PARTS)]
