#!/usr/bin/env python3
"""Evaluates the models of train_menan.py, which IEMOCAP trained, on CMU-MOSEI.

Every session's model names one of four emotions for each segment. It is right
if the annotators' rating of that emotion is above zero; neutral, if those of all
six emotions are zero. Nothing is trained.

Reference: "Speaker-Invariant Affective Representation Learning via Adversarial
Training", Li et al. 2020 (https://arxiv.org/abs/1911.01533), section 6 and
Table 3.

To run it:
> python evaluate_menan.py hparams/evaluate.yaml --data_folder CMU-MOSEI \
>     --runs_folder ../IEMOCAP/results/menan
"""

from speechbrain_ser.corpora.mini.cmu_mosei import mini_mosei
from speechbrain_ser.corpora.protocols.cmu_mosei import CLASSES, FOUR_CLASSES
from speechbrain_ser.corpora.protocols.iemocap import LEAVE_ONE_SPEAKER_OUT
from speechbrain_ser.experiment.frame import Recipe

# What a table may show of a part, in per cent.
SHARES = ("mean", "min", "max", "always")
# Setting of this recipe to the fact of a finished run that it chooses by.
CHOSEN = {
    "system": "system",
    "trained_on": "corpus",
    "seed": "seed",
    "speaker_steps": "speaker_steps",
}


def make(hparams):
    """Hangs MEnAN's finished runs and CMU-MOSEI in the frame."""
    from speechbrain_ser.evaluation.menan_cmu_mosei import MODULES, SIZES
    from speechbrain_ser.experiment.finished_runs import Kind

    runs = Kind(
        method="MEnAN",
        script="train_menan.py",
        chosen=CHOSEN,
        text="{system} on {corpus}, seed {seed}, speaker_steps {speaker_steps}",
        alike=SIZES,
        tested="trained_on",
        paired=LEAVE_ONE_SPEAKER_OUT.name,
    )
    return hparams["experiment"](
        script=__file__,
        method="MEnAN",
        corpus=hparams["corpus"],
        protocol=FOUR_CLASSES,
        mini={"data_folder": mini_mosei},
        runs=runs,
        modules=MODULES,
        words=(*CLASSES, "neu"),
        about=about,
    )


def about(settings):
    """Says which system it is, and what trained it."""
    return {name: settings[name] for name in ("system", "trained_on")}


RECIPE = Recipe(__file__, make)
plan = RECIPE.plan  # for the table command

if __name__ == "__main__":
    RECIPE.run()
