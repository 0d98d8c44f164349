#!/usr/bin/env python3
"""Recipe for the references that a method has to beat, on any corpus.

A probe: the mean over time of a layer of a frozen speech model, standardised,
and logistic regression; or openSMILE's functionals (free for research alone) and
support vector machines. Fitted in closed form on the train and valid parts of
the protocols of all methods; nothing is drawn, so a seed makes no difference.
How layer and C are chosen is in `speechbrain_ser/methods/probe.py`.

Reference: "The Geneva Minimalistic Acoustic Parameter Set (GeMAPS) for Voice
Research and Affective Computing", Eyben et al. 2016, for the functionals.

To run it:
> python train_probe.py hparams/probe.yaml --corpus emodb --data_folder EMO-DB
> python train_probe.py hparams/egemaps_svm.yaml --manifest my.csv
> python train_probe.py hparams/probe_logmel.yaml  # on synthetic voices
"""

from speechbrain_ser.corpora.mini.emodb import mini_emodb
from speechbrain_ser.corpora.protocols.open_corpora import ALL_PROTOCOLS
from speechbrain_ser.experiment.frame import Recipe


def make(hparams):
    """Hangs a reference and the corpus in the frame."""
    return hparams["experiment"](
        script=__file__,
        method="reference",
        corpus=hparams["reader"],
        protocols=ALL_PROTOCOLS,
        mini={"data_folder": mini_emodb},
        brain=hparams["brain"],
    )


RECIPE = Recipe(__file__, make)
plan = RECIPE.plan  # for the table command

if __name__ == "__main__":
    RECIPE.run()
