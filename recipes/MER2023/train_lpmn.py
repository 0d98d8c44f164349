#!/usr/bin/env python3
"""Recipe for speech emotion recognition with LPMN on MER2023.

A local prototypical mapping network: an utterance is, of each prototype of a
codebook, the frame that is most like it. Here it learns emotion and valence
together, so that the reports have two more scores. The equations are in
`speechbrain_ser/methods/lpmn.py`.

Reference: "An Effective Local Prototypical Mapping Network for Speech Emotion
Recognition", Xi et al. 2024.

To run it:
> python train_lpmn.py hparams/lpmn.yaml --data_folder MER2023
"""

from speechbrain_ser.corpora.mini.local_mer2023 import mini_local_mer2023
from speechbrain_ser.corpora.protocols.mer2023 import FIVE_FOLD
from speechbrain_ser.experiment.frame import Recipe

# Columns of a table, besides the usual ones.
METRICS = ("valence_MSE", "combined")


def make(hparams):
    """Hangs LPMN and MER2023 in the frame."""
    from speechbrain_ser.evaluation import lpmn
    from speechbrain_ser.evaluation.prototype_selection import selected_parts

    return hparams["experiment"](
        script=__file__,
        method="LPMN",
        corpus=hparams["corpus"],
        protocol=FIVE_FOLD,
        mini={"data_folder": mini_local_mer2023},
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
