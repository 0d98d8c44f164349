"""Which protocols a recipe for any corpus has, of each corpus the default first."""

from speechbrain_ser.corpora.protocols import emodb, manifest, nemo, ravdess

# One label an utterance, strangers test.
SPEAKERS_OUT = {
    "emodb": [emodb.LEAVE_ONE_OUT, emodb.SHARED],
    "ravdess": [
        ravdess.SIX_FOLDS,
        ravdess.LEAVE_ONE_OUT,
        ravdess.EMOBOX_FOLDS,
        ravdess.DEV_SIX_FOLDS,
    ],
    "nemo": [nemo.LEAVE_ONE_OUT],
    "manifest": [manifest.FIVE_FOLDS, manifest.LEAVE_ONE_OUT, manifest.GIVEN],
}
# Precise utterances train, others besides, without their labels.
PRECISE_AND_OTHERS = {
    "emodb": [emodb.AGREEMENT],
    "ravdess": [ravdess.INTENSITY, ravdess.DEV_INTENSITY],
    "nemo": [nemo.RANDOM],
    "manifest": [manifest.AMBIGUOUS, manifest.GIVEN],
}
# For references, which stand beside any method. Of the unlabelled part they
# take nothing.
ALL_PROTOCOLS = {
    corpus: list(dict.fromkeys(first + PRECISE_AND_OTHERS[corpus]))
    for corpus, first in SPEAKERS_OUT.items()
}
