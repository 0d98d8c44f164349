"""Splits of the mini corpora have the hash that they always had.

The digits were computed by the code of commit bd5b02e, `plan(...).split` of its
recipes: then the parts were called precise, validation, ambiguous, evaluation.
"""

import functools

import pytest

from speechbrain_ser.corpora.cmu_mosei import read_cmu_mosei
from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.mer2023 import read_mer2023
from speechbrain_ser.corpora.pairs import read_pair
from speechbrain_ser.corpora.protocols.checks import split_fingerprint
from speechbrain_ser.corpora.protocols.cmu_mosei import FOUR_CLASSES
from speechbrain_ser.corpora.protocols.cross_lingual import (
    CROSS_LINGUAL,
    MONO_LINGUAL,
)
from speechbrain_ser.corpora.protocols.iemocap import (
    AMBIGUITY,
    LEAVE_ONE_SESSION_OUT,
    LEAVE_ONE_SPEAKER_OUT,
)
from speechbrain_ser.corpora.protocols.mer2023 import FIVE_FOLD
from speechbrain_ser.corpora.recola import read_recola
from speechbrain_ser.data.dataset import without_labels

IEMOCAP = [
    (
        AMBIGUITY,
        {"test_size": 0.4},
        "655121f6e734941619095fc3ff58652c74e0f4db6928ea6681133bb8bac8315d",
    ),
    (
        AMBIGUITY,
        {"test_size": 0.4, "precise_size": 40},
        "3c4fe9cb9a0ca6195d6727133b25e12fe0013a3d3bf6a2eef69729ffc6246de8",
    ),
    (
        AMBIGUITY,
        {"test_size": 5, "held_out_session": 2, "valid_share": None},
        "0077749ad7de139abd01fb9b67e41bc4934bb34a74b93908398b6a71fc041314",
    ),
    (
        LEAVE_ONE_SESSION_OUT,
        {"fold": 1},
        "d03e04a3e8cccef623fb31097fc377517074f01e234702ba25b8f2006119bd48",
    ),
    (
        LEAVE_ONE_SESSION_OUT,
        {"fold": 3},
        "c6dae3b6c5e8af1dc8d508bbc8e7aea10254da90e534f295961d6d37bb6625f0",
    ),
    (
        LEAVE_ONE_SPEAKER_OUT,
        {"fold": 1},
        "918fa74b41693177755a0a67333a9a75f28ec8add9b385ea6a656952b136baf6",
    ),
    (
        LEAVE_ONE_SPEAKER_OUT,
        {"fold": 4},
        "1002fe07b9794f98bf34870521761337b69a760aae983bf80dfb67f012f7ab60",
    ),
]
MER2023 = [
    (1, "148198460677dcca591e255b27eb3aed3514da975e55a7f447a4c6eddaae0953"),
    (5, "f2d092bfc01e1d85f3ae6e2f73f5c01e252c0f3f1bcb4a66103a4f21918e7b91"),
]
LINGUAL = [
    (
        CROSS_LINGUAL,
        {"direction": "rec2iem", "task": "arousal"},
        {},
        "edb060a272999fd729687ba97bf7944fde2b0da0116ab271144820b9f7ce34fa",
    ),
    (
        CROSS_LINGUAL,
        {"direction": "iem2rec", "task": "valence"},
        {"valid_language": "source", "split_by": "speaker"},
        "6e7d7d015eca129eb3ceaaa7ab741ce20bfe6f1f572b9682b0a7cf4e0eea77d0",
    ),
    (
        MONO_LINGUAL,
        {"direction": "rec2iem", "task": "arousal"},
        {},
        "0486ae862bcc33105d8ad9b3e52627c2fd25eb9d85ed56c776765b5cbe7b7da8",
    ),
    (
        MONO_LINGUAL,
        {"direction": "iem2rec", "task": "arousal"},
        {"mono_valid_share": 0.15, "split_by": "speaker"},
        "a60b384cd978f31e6c3c311185e6291bfb49dab8c74559b21c9c36217975715a",
    ),
]
MOSEI = "ca10b0e57aea658d3fe904c93cdaee969268bf0705a30c0c24030a20502d5cc7"


@pytest.mark.parametrize("protocol, settings, expected", IEMOCAP)
def test_iemocap(protocol, settings, expected, mini_folder):
    """IPR's parts, leave one session out, leave one speaker out."""
    annotation = read_iemocap(mini_folder)
    parts = protocol.split(annotation, **settings)
    assert split_fingerprint(parts) == expected


@pytest.mark.parametrize("fold, expected", MER2023)
def test_mer2023(fold, expected, mini_mer2023_folder):
    """Two of the five folds."""
    annotation = read_mer2023(mini_mer2023_folder)
    assert split_fingerprint(FIVE_FOLD.split(annotation, fold)) == expected


@pytest.mark.parametrize("protocol, pair, settings, expected", LINGUAL)
def test_two_languages(
    protocol, pair, settings, expected, mini_recola_folder, mini_folder
):
    """With all of the target, whose labels are hidden, where DANN hears it."""
    languages = read_pair(
        corpora={
            "recola": functools.partial(read_recola, mini_recola_folder),
            "iemocap": functools.partial(
                read_iemocap, mini_folder, labels=None
            ),
        },
        thresholds={"recola": 0.0, "iemocap": 2.5},
        **pair,
    )
    parts = protocol.split(languages, **settings)
    if protocol is CROSS_LINGUAL:
        parts["target"] = without_labels(languages["target"])
    assert split_fingerprint(parts) == expected


def test_cmu_mosei(mini_mosei_folder):
    """The right answers are the labels."""
    annotation = read_cmu_mosei(mini_mosei_folder)
    parts = FOUR_CLASSES.split(annotation)
    for entry in parts["test"].values():
        entry["emotion"] = "+".join(entry["present"])
    assert split_fingerprint(parts) == MOSEI
