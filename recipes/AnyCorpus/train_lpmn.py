#!/usr/bin/env python3
"""Recipe for speech emotion recognition with LPMN on any corpus.

A local prototypical mapping network: an utterance is, of each prototype of a
codebook, the frame that is most like it. After training the prototypes that tell
the emotion are selected. The equations are in `speechbrain_ser/methods/lpmn.py`.

Reference: "An Effective Local Prototypical Mapping Network for Speech Emotion
Recognition", Xi et al. 2024.

To run it:
> python train_lpmn.py hparams/lpmn_whisper.yaml --corpus emodb --data_folder EMO-DB
> python train_lpmn.py hparams/lpmn_whisper.yaml --manifest my.csv
"""

from speechbrain_ser.corpora.mini.emodb import mini_emodb
from speechbrain_ser.corpora.protocols.open_corpora import SPEAKERS_OUT
from speechbrain_ser.experiment.frame import Recipe


def make(hparams):
    """Hangs LPMN and the corpus in the frame."""
    from speechbrain_ser.evaluation import lpmn
    from speechbrain_ser.evaluation.prototype_selection import selected_parts

    return hparams["experiment"](
        script=__file__,
        method="LPMN",
        corpus=hparams["reader"],
        protocols=SPEAKERS_OUT,
        mini={"data_folder": mini_emodb},
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
