#!/usr/bin/env python3
"""Recipe for cross-lingual speech emotion recognition between RECOLA and IEMOCAP.

An emotion classifier learns on one language (the source) and is tested on
another one (the target), of which the training sees no labels. A language
classifier behind a gradient reversal keeps the encoder from telling the two
apart. The equations are in `speechbrain_ser/methods/dann.py`.

Reference: "Unsupervised Cross-Lingual Speech Emotion Recognition Using Domain
Adversarial Neural Network", Cai et al. 2021.

To run it:
> python train_dann.py hparams/dann.yaml --recola_folder RECOLA \
>     --iemocap_folder IEMOCAP_full_release
"""

from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
from speechbrain_ser.corpora.mini.recola import hissing_recola
from speechbrain_ser.corpora.pairs import TASKS, read_pair, source_and_target
from speechbrain_ser.corpora.protocols.cross_lingual import (
    CROSS_LINGUAL,
    MONO_LINGUAL,
)
from speechbrain_ser.experiment.frame import Recipe
from speechbrain_ser.utils.settings import check

CORPUS_FOLDERS = ("recola_folder", "iemocap_folder")  # for the table command
# The regularization for training on each corpus (section 4.1).
PENALTIES = {"recola": "l1", "iemocap": "l2"}


def make(hparams):
    """Hangs DANN, RECOLA and IEMOCAP in the frame."""
    return hparams["experiment"](
        script=__file__,
        method="DANN",
        corpus=hparams["corpus"],
        protocol={
            "dann": CROSS_LINGUAL,
            "base": CROSS_LINGUAL,
            "mono": MONO_LINGUAL,
        },
        alone=("mono",),
        mini={"recola_folder": hissing_recola, "iemocap_folder": mini_iemocap},
        brain=hparams["brain"],
        fill_in=fill_in,
        about=about,
    )


def fill_in(settings, parts):
    """Returns the classes of the task, and the penalty of the paper."""
    from speechbrain_ser.methods.dann import check_together

    check(read_pair, settings)
    check_together(settings)
    source, target = source_and_target(PENALTIES, settings["direction"])
    trained = target if settings["system"] == "mono" else source
    more = {}
    if settings["labels"] is None:
        more["labels"] = TASKS[settings["task"]]
    if settings["penalty"] is None:
        more["penalty"] = PENALTIES[trained]
    return more


def about(settings):
    """Says which system it is, and which languages and task."""
    facts = {name: settings[name] for name in ("system", "batch_norm")}
    if settings["skip_prep"]:
        return facts | {"experiment": "source to target"}
    named = {name: settings[name] for name in ("direction", "task")}
    return facts | {"experiment": ", ".join(named.values())} | named


RECIPE = Recipe(__file__, make)
plan = RECIPE.plan  # for the table command

if __name__ == "__main__":
    RECIPE.run()
