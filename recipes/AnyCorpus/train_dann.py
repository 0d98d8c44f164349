#!/usr/bin/env python3
"""Recipe for speech emotion recognition across languages with DANN, on any corpora.

An emotion classifier learns on one corpus (the source) and is tested on another
one (the target), of which the training sees no labels. A language classifier
behind a gradient reversal keeps the encoder from telling the two apart. The
equations are in `speechbrain_ser/methods/dann.py`.

Reference: "Unsupervised Cross-Lingual Speech Emotion Recognition Using Domain
Adversarial Neural Network", Cai et al. 2021.

To run it:
> python train_dann.py hparams/dann_whisper.yaml --corpus emodb --data_folder EMO-DB \
>     --target_corpus ravdess --target_folder RAVDESS
> python train_dann.py hparams/dann_whisper.yaml --manifest a.csv --target_manifest b.csv
"""

from speechbrain_ser.corpora.mini.emodb import mini_emodb
from speechbrain_ser.corpora.mini.ravdess import mini_ravdess
from speechbrain_ser.corpora.pairs import TASKS
from speechbrain_ser.corpora.protocols.open_lingual import (
    CROSS_LINGUAL,
    MONO_LINGUAL,
    SPEAKERS_APART,
)
from speechbrain_ser.experiment.frame import Recipe

CORPUS_FOLDERS = ("data_folder", "target_folder")  # for the table command


def make(hparams):
    """Hangs DANN and the two corpora in the frame."""
    return hparams["experiment"](
        script=__file__,
        method="DANN",
        corpus=hparams["reader"],
        protocols=[
            {"dann": across, "base": across, "mono": MONO_LINGUAL}
            for across in (CROSS_LINGUAL, SPEAKERS_APART)
        ],
        alone=("mono",),
        mini={"data_folder": mini_emodb, "target_folder": mini_ravdess},
        brain=hparams["brain"],
        fill_in=fill_in,
        about=about,
    )


def fill_in(settings, parts):
    """Returns what open settings are: batch norm, and the classes of the task."""
    from speechbrain_ser.methods.dann import check_together

    ours = settings["system"] == "dann"
    defaults = {
        "batch_norm": "bn3" if ours else "bn1",
        "labels": TASKS[settings["task"]],
    }
    filled = {k: v for k, v in defaults.items() if settings[k] is None}
    check_together(settings | filled)
    return filled


def about(settings):
    """Says which system it is, and which task."""
    facts = {name: settings[name] for name in ("system", "batch_norm", "task")}
    return facts | {"experiment": settings["task"]}


RECIPE = Recipe(__file__, make)
plan = RECIPE.plan  # for the table command

if __name__ == "__main__":
    RECIPE.run()
