#!/usr/bin/env python3
"""Recipe for speech emotion recognition that forgets the speaker, on any corpus.

A speaker classifier learns to name the speaker from an embedding of emotion;
the encoder learns to tell the emotion while the speaker classifier holds all
speakers for equally likely. The equations are in
`speechbrain_ser/methods/menan.py`.

Reference: "Speaker-Invariant Affective Representation Learning via Adversarial
Training", Li et al. 2020 (https://arxiv.org/abs/1911.01533).

To run it:
> python train_menan.py hparams/menan_whisper.yaml --corpus emodb --data_folder EMO-DB
> python train_menan.py hparams/menan_whisper.yaml --manifest my.csv
"""

from speechbrain_ser.corpora.mini.emodb import mini_emodb
from speechbrain_ser.corpora.protocols.open_corpora import SPEAKERS_OUT
from speechbrain_ser.experiment.frame import Recipe


def make(hparams):
    """Hangs MEnAN and the corpus in the frame."""
    from speechbrain_ser.methods.menan_parts import fill_in

    return hparams["experiment"](
        script=__file__,
        method="MEnAN",
        corpus=hparams["reader"],
        protocols=SPEAKERS_OUT,
        mini={"data_folder": mini_emodb},
        brain=hparams["brain"],
        fill_in=fill_in,
    )


RECIPE = Recipe(__file__, make)
plan = RECIPE.plan  # for the table command

if __name__ == "__main__":
    RECIPE.run()
