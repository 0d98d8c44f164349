"""The protocol of MER2023."""

from speechbrain_ser.corpora.protocols.protocol import Protocol
from speechbrain_ser.corpora.protocols.splits import random_k_fold

FIVE_FOLD = Protocol(
    name="mer2023-5fold@1",
    text="the labelled train clips in five random parts, stratified by emotion: "
    "one tests; of the other four a stratified tenth validates, the rest "
    "trains; speakers are not known and may be shared",
    reading={
        "labels": ["neutral", "angry", "happy", "sad", "worried", "surprise"],
    },
    splitting={"valid_share": 0.1},
    function=random_k_fold,
    folds=5,
)
