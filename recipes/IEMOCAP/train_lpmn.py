#!/usr/bin/env python3
"""Recipe for speech emotion recognition with LPMN on IEMOCAP.

A local prototypical mapping network maps the frames of an utterance onto a
codebook of prototypes, and keeps of each prototype the frame that is most like
it: where the emotion is heard. After training the prototypes that tell the
emotion are selected. The equations are in `speechbrain_ser/methods/lpmn.py`.

Reference: "An Effective Local Prototypical Mapping Network for Speech Emotion
Recognition", Xi et al. 2024.

To run it:
> python train_lpmn.py hparams/lpmn.yaml --data_folder IEMOCAP_full_release
"""

from speechbrain_ser.corpora.mini.local_iemocap import mini_local_iemocap
from speechbrain_ser.corpora.protocols.iemocap import LEAVE_ONE_SESSION_OUT
from speechbrain_ser.experiment.frame import Recipe


def make(hparams):
    """Hangs LPMN and IEMOCAP in the frame."""
    from speechbrain_ser.evaluation import lpmn
    from speechbrain_ser.evaluation.prototype_selection import selected_parts

    return hparams["experiment"](
        script=__file__,
        method="LPMN",
        corpus=hparams["corpus"],
        protocol=LEAVE_ONE_SESSION_OUT,
        mini={"data_folder": mini_local_iemocap},
        brain=hparams["brain"],
        fill_in=lpmn.check,
        more_parts=selected_parts,
        files=lpmn.files,
        about=lpmn.about,
    )


RECIPE = Recipe(__file__, make)
plan = RECIPE.plan  # for the table command

if __name__ == "__main__":
    RECIPE.run()
