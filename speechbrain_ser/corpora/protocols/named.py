"""All protocols by name.

For who looks one up; what needs a single protocol imports it from its corpus's
module, so that the others are no part of the run.
"""

from speechbrain_ser.corpora.protocols import (
    emodb,
    manifest,
    nemo,
    open_lingual,
    ravdess,
)
from speechbrain_ser.corpora.protocols.cmu_mosei import FOUR_CLASSES
from speechbrain_ser.corpora.protocols.cross_lingual import (
    CROSS_LINGUAL,
    MONO_LINGUAL,
)
from speechbrain_ser.corpora.protocols.iemocap import (
    AMBIGUITY,
    LEAVE_ONE_SESSION_OUT,
    LEAVE_ONE_SPEAKER_OUT,
    TWO_SPEAKERS_OUT,
)
from speechbrain_ser.corpora.protocols.mer2023 import FIVE_FOLD
from speechbrain_ser.utils.errors import InputError

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        AMBIGUITY,
        LEAVE_ONE_SESSION_OUT,
        LEAVE_ONE_SPEAKER_OUT,
        TWO_SPEAKERS_OUT,
        FIVE_FOLD,
        CROSS_LINGUAL,
        MONO_LINGUAL,
        FOUR_CLASSES,
        emodb.LEAVE_ONE_OUT,
        emodb.SHARED,
        emodb.AGREEMENT,
        ravdess.LEAVE_ONE_OUT,
        ravdess.SIX_FOLDS,
        ravdess.EMOBOX_FOLDS,
        ravdess.INTENSITY,
        ravdess.DEV_SIX_FOLDS,
        ravdess.DEV_INTENSITY,
        nemo.LEAVE_ONE_OUT,
        nemo.RANDOM,
        manifest.GIVEN,
        manifest.LEAVE_ONE_OUT,
        manifest.FIVE_FOLDS,
        manifest.AMBIGUOUS,
        open_lingual.CROSS_LINGUAL,
        open_lingual.SPEAKERS_APART,
        open_lingual.MONO_LINGUAL,
    )
}


def split(name, annotation, fold=None, **changes):
    """Splits an annotation as a named protocol says.

    Arguments
    ---------
    name : str
        Of `PROTOCOLS`.
    annotation : dict
        Read with the protocol's `reading` settings.
    fold : int, optional
        From 1, where the protocol has folds.
    **changes : dict
        Settings that are not the protocol's; `full_name` says them.

    Returns
    -------
    dict
        Part -> annotation.

    Raises
    ------
    InputError
        If there is no such protocol, or the corpus can't be split so.

    Example
    -------
    >>> annotation = {
    ...     f"Ses0{session}{sex}_{i}": {
    ...         "session": session,
    ...         "speaker": f"Ses0{session}{sex}",
    ...         "emotion": "sad",
    ...     }
    ...     for session in range(1, 6)
    ...     for sex in "FM"
    ...     for i in range(10)
    ... }
    >>> parts = split("iemocap-10fold-loso@1", annotation, fold=1)
    >>> {name: len(part) for name, part in parts.items()}
    {'train': 80, 'valid': 10, 'test': 10}
    """
    return _find(name).split(annotation, fold, **changes)


def full_name(name, settings):
    """Returns a protocol's name, and what the settings change of it.

    Arguments
    ---------
    name : str
        Of `PROTOCOLS`.
    settings : dict
        Of a recipe; those that are no concern of the protocol are passed over.

    Example
    -------
    >>> full_name("iemocap-ambiguity@1", {"seed": 1, "test_size": 400})
    'iemocap-ambiguity@1'
    >>> full_name("iemocap-ambiguity@1", {"test_size": 0.4})
    'iemocap-ambiguity@1 with test_size 0.4'
    """
    return _find(name).full_name(settings)


def _find(name):
    """The protocol of a name."""
    if name not in PROTOCOLS:
        raise InputError(
            f"there is no protocol {name!r}: give one of {', '.join(PROTOCOLS)}"
        )
    return PROTOCOLS[name]
