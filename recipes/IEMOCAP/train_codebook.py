#!/usr/bin/env python3
"""Learns a codebook for LPMN from speech without labels.

The prototypes are learnt by the quantization loss alone (Eq. 1), from the frames
of a frozen encoder: from any folder of audio, or from annotations, whose
emotions are not read. The result is the `codebook` of train_lpmn.py, whatever
the corpus.

Reference: "An Effective Local Prototypical Mapping Network for Speech Emotion
Recognition", Xi et al. 2024, sections 2 and 3.1.

To run it:
> python train_codebook.py hparams/codebook.yaml --audio_folder recordings
> python train_lpmn.py hparams/lpmn.yaml --data_folder IEMOCAP_full_release \
    --codebook results/codebook/unlabelled/1024/1/codebook.ckpt
"""

from speechbrain_ser.experiment.frame import Recipe


def make(hparams):
    """Hangs the codebook and any speech in the frame."""
    return hparams["experiment"](
        script=__file__,
        method="codebook of LPMN",
        corpus=hparams["corpus"],
        brain=hparams["brain"],
        split=split,
    )


def split(speech, settings):
    """Trains on all speech; what it says of emotions stays behind."""
    from speechbrain_ser.data.dataset import without_labels

    return {"train": without_labels(speech)}, "unlabelled speech"


RECIPE = Recipe(__file__, make)
plan = RECIPE.plan

if __name__ == "__main__":
    RECIPE.run()
