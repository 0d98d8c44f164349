#!/usr/bin/env python3
"""Recipe for speech emotion recognition that forgets the speaker, on IEMOCAP.

A speaker classifier learns to name the speaker from an embedding of emotion;
the encoder learns to tell the emotion while the speaker classifier holds all
speakers for equally likely. The equations are in
`speechbrain_ser/methods/menan.py`.

Reference: "Speaker-Invariant Affective Representation Learning via Adversarial
Training", Li et al. 2020 (https://arxiv.org/abs/1911.01533).

To run it:
> python train_menan.py hparams/menan.yaml --data_folder IEMOCAP_full_release
"""

from speechbrain_ser.corpora.mini.habitual_iemocap import mini_habitual_iemocap
from speechbrain_ser.corpora.protocols.iemocap import TWO_SPEAKERS_OUT
from speechbrain_ser.experiment.frame import Recipe


def make(hparams):
    """Hangs MEnAN and IEMOCAP in the frame."""
    from speechbrain_ser.methods.menan_parts import fill_in

    return hparams["experiment"](
        script=__file__,
        method="MEnAN",
        corpus=hparams["corpus"],
        protocol=TWO_SPEAKERS_OUT,
        mini={"data_folder": mini_habitual_iemocap},
        brain=hparams["brain"],
        fill_in=fill_in,
        about=about,
    )


def about(settings):
    """Says which system it is, and which session tests."""
    return {name: settings[name] for name in ("system", "fold")}


RECIPE = Recipe(__file__, make)
plan = RECIPE.plan  # for the table command

if __name__ == "__main__":
    RECIPE.run()
