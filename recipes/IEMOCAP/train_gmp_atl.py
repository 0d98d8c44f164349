#!/usr/bin/env python3
"""Recipe for speech emotion recognition with GMP-ATL on IEMOCAP.

Three stages: HuBERT learns emotion and gender, and its frames are clustered at
several scales into pseudo-labels; HuBERT is retrained to predict the
pseudo-labels of masked frames; it is fine-tuned on utterance emotions with
AM-softmax. Each stage is kept and shared by all runs that need the same one.
The equations are in `speechbrain_ser/methods/gmp_atl.py`.

Reference: "GMP-ATL: Gender-augmented Multi-scale Pseudo-label Enhanced Adaptive
Transfer Learning for Speech Emotion Recognition via HuBERT", Pan et al. 2024
(https://arxiv.org/abs/2405.02151).

To run it:
> python train_gmp_atl.py hparams/gmp_atl.yaml --data_folder IEMOCAP_full_release
"""

from speechbrain_ser.corpora.mini.gendered_iemocap import mini_gendered_iemocap
from speechbrain_ser.corpora.protocols.iemocap import LEAVE_ONE_SESSION_OUT
from speechbrain_ser.experiment.frame import Recipe


def make(hparams):
    """Hangs GMP-ATL's stages and IEMOCAP in the frame."""
    from speechbrain_ser.evaluation import gmp_atl as found
    from speechbrain_ser.experiment.staged import steps_of
    from speechbrain_ser.methods import gmp_atl_stages as stages

    return hparams["experiment"](
        script=__file__,
        method="GMP-ATL",
        corpus=hparams["corpus"],
        protocol=LEAVE_ONE_SESSION_OUT,
        mini={"data_folder": mini_gendered_iemocap},
        brain=hparams["brain"],
        files=stages.given_files,
        about=found.about,
        steps=steps_of(stages.STEPS, found.DESCRIPTIONS),
        last="fine-tuning",
        inputs=stages.model_input,
        check_shown=found.check_figure_utterances,
        tell=found.tell,
    )


RECIPE = Recipe(__file__, make)
plan = RECIPE.plan  # for the table command

if __name__ == "__main__":
    RECIPE.run()
