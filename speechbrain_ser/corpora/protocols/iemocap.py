"""The protocols of IEMOCAP."""

from speechbrain_ser.corpora.protocols.ambiguity import ambiguity_split
from speechbrain_ser.corpora.protocols.protocol import Protocol
from speechbrain_ser.corpora.protocols.splits import (
    leave_one_session_out,
    leave_one_speaker_out,
    leave_two_speakers_out,
)

FOUR_CLASSES = {
    "labels": ["ang", "hap", "sad", "neu"],
    "merge_excited": True,
    "improvised_only": False,
}

AMBIGUITY = Protocol(
    name="iemocap-ambiguity@1",
    text="D1: all annotators agree; D3, the test part: the 400 others with the "
    "least agreement; D2: the remainder; a tenth of D1 validates; speakers "
    "are shared",
    reading=FOUR_CLASSES | {"self_evaluations": False},
    splitting={
        "test_size": 400,
        "precise_size": None,
        "held_out_session": None,
        "valid_share": 0.1,
    },
    function=ambiguity_split,
)
LEAVE_ONE_SESSION_OUT = Protocol(
    name="iemocap-5fold-loso@1",
    text="one session tests; of the other four a stratified tenth validates, "
    "the rest trains",
    reading=FOUR_CLASSES,
    splitting={"valid": "share", "valid_share": 0.1},
    function=leave_one_session_out,
    folds=5,
)
LEAVE_ONE_SPEAKER_OUT = Protocol(
    name="iemocap-10fold-loso@1",
    text="one speaker tests, the other one of the session validates, the other "
    "four sessions train; under `model_selection last` the two folds of a "
    "session are one model",
    reading=FOUR_CLASSES,
    splitting={},
    function=leave_one_speaker_out,
    folds=10,
)
TWO_SPEAKERS_OUT = Protocol(
    name="iemocap-5fold-two-speakers@1",
    text="both speakers of one session test, the other four sessions train; "
    "nobody validates",
    reading=FOUR_CLASSES,
    splitting={},
    function=leave_two_speakers_out,
    folds=5,
)
