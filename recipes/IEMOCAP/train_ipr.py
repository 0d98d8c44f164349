#!/usr/bin/env python3
"""Recipe for ambiguous speech emotion recognition with IPR on IEMOCAP.

Iterative prototype refinement learns prototypes of the classes from precise
utterances (D1, the train part); these label ambiguous ones (D2, unlabelled),
which in turn refine them. It is tested on the most ambiguous utterances (D3).
The equations are in `speechbrain_ser/methods/ipr.py`.

Reference: "Iterative Prototype Refinement for Ambiguous Speech Emotion
Recognition", Sun et al. 2024 (https://arxiv.org/abs/2408.00325).

To run it:
> python train_ipr.py hparams/ipr.yaml --data_folder IEMOCAP_full_release
"""

from speechbrain_ser.corpora.mini.ambiguous_iemocap import (
    mini_ambiguous_iemocap,
)
from speechbrain_ser.corpora.protocols.iemocap import AMBIGUITY
from speechbrain_ser.experiment.frame import Recipe


def make(hparams):
    """Hangs IPR and IEMOCAP in the frame."""
    return hparams["experiment"](
        script=__file__,
        method="IPR",
        corpus=hparams["corpus"],
        protocol=AMBIGUITY,
        mini={"data_folder": mini_ambiguous_iemocap},
        brain=hparams["brain"],
        about=about,
        note="the paper (Table 1): train 1710, unlabelled 3421, test 400",
    )


def about(settings):
    """Says which system it is, and whether it knows the speakers."""
    held_out = settings["held_out_session"]
    return {
        "system": settings["system"],
        "speakers": "held out"
        if held_out
        else "shared between the parts, as in the paper",
    }


RECIPE = Recipe(__file__, make)
plan = RECIPE.plan  # for the table command

if __name__ == "__main__":
    RECIPE.run()
