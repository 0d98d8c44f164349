#!/usr/bin/env python3
"""Recipe for ambiguous speech emotion recognition with IPR on any corpus.

Iterative prototype refinement learns prototypes of the classes from precise
utterances (D1, the train part); these label ambiguous ones (D2, unlabelled),
which in turn refine them. What is ambiguous is said by the protocol: RAVDESS has
weak expressions, EMO-DB listeners who disagreed, a manifest a column; of nEMO a
random half is unlabelled. The equations are in `speechbrain_ser/methods/ipr.py`.

Reference: "Iterative Prototype Refinement for Ambiguous Speech Emotion
Recognition", Sun et al. 2024 (https://arxiv.org/abs/2408.00325).

To run it:
> python train_ipr.py hparams/ipr_whisper.yaml --corpus ravdess --data_folder RAVDESS
> python train_ipr.py hparams/ipr_whisper.yaml --manifest my.csv
> python train_ipr.py hparams/ipr_logmel.yaml  # on synthetic voices
"""

from speechbrain_ser.corpora.mini.emodb import mini_emodb
from speechbrain_ser.corpora.protocols.open_corpora import PRECISE_AND_OTHERS
from speechbrain_ser.experiment.frame import Recipe


def make(hparams):
    """Hangs IPR and the corpus in the frame."""
    return hparams["experiment"](
        script=__file__,
        method="IPR",
        corpus=hparams["reader"],
        protocols=PRECISE_AND_OTHERS,
        mini={"data_folder": mini_emodb},
        brain=hparams["brain"],
    )


RECIPE = Recipe(__file__, make)
plan = RECIPE.plan  # for the table command

if __name__ == "__main__":
    RECIPE.run()
