#!/usr/bin/env python3
"""Recipe for speech emotion recognition with the methods' parts together.

On the frames of a frozen encoder: prototypes that sort an utterance's frames,
AM-softmax, an adversary against the speaker, mixup; each a switch. What each does
is in `speechbrain_ser/methods/joint.py`, what it is worth in
`docs/results/claims.md`.

Reference: "mixup: Beyond Empirical Risk Minimization", Zhang et al. 2018; of the
other parts see the recipes of the methods.

To run it:
> python train_joint.py hparams/joint_whisper.yaml --corpus emodb --data_folder EMO-DB
> python train_joint.py hparams/joint_whisper.yaml --manifest my.csv
> python train_joint.py hparams/joint_logmel.yaml  # on synthetic voices
"""

from speechbrain_ser.corpora.mini.emodb import mini_emodb
from speechbrain_ser.corpora.protocols.open_corpora import ALL_PROTOCOLS
from speechbrain_ser.experiment.frame import Recipe


def make(hparams):
    """Hangs the parts together and the corpus in the frame."""
    from speechbrain_ser.methods.joint import fill_in

    # the references' protocols: what is compared has the same folds
    return hparams["experiment"](
        script=__file__,
        method="joint",
        corpus=hparams["reader"],
        protocols=ALL_PROTOCOLS,
        mini={"data_folder": mini_emodb},
        brain=hparams["brain"],
        fill_in=fill_in,
    )


RECIPE = Recipe(__file__, make)
plan = RECIPE.plan  # for the table command

if __name__ == "__main__":
    RECIPE.run()
