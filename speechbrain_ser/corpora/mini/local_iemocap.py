"""The mini corpus in IEMOCAP's layout whose emotion is in one stretch.

A method that keeps of an utterance the frames that tell the emotion has
something to find here: a stretch of `STRETCH` seconds has it, `STRONG` times as
far from neutral speech as the voice's own, and all before and behind is said as
the same voice says neutral things.
"""

import dataclasses

import numpy as np

from speechbrain_ser.corpora.mini.iemocap import (
    Way,
    draw_ballots,
    draw_weights,
    make_release,
)
from speechbrain_ser.corpora.mini.voice import synthesize
from speechbrain_ser.utils.settings import Whole, checked

VERSION = "2-local"  # A part of the tree's name: change it with any byte.

WHOLE = 1.6, 2.4  # seconds of an utterance
STRETCH = 0.35, 0.5  # seconds of them that have the emotion
STRONG = 2.0  # factor on `Speaker.expression`
EDGE = 0.2  # seconds at least before and behind the stretch


def say(weights, speaker, rng):
    """Says an utterance whose emotion is in one stretch.

    Arguments
    ---------
    weights : dict
        Emotion -> weight, of the stretch.
    speaker : Speaker
        Who speaks.
    rng : numpy.random.Generator
        The source of chance.

    Returns
    -------
    numpy.ndarray
        float32, ``[samples]``, between -1 and 1.

    Example
    -------
    >>> from speechbrain_ser.corpora.mini.voice import draw_speaker
    >>> rng = np.random.default_rng(0)
    >>> 25600 <= len(
    ...     say({"sad": 1.0}, draw_speaker("a", "M", rng), rng)
    ... ) < 38400
    True
    """
    whole, stretch = rng.uniform(*WHOLE), rng.uniform(*STRETCH)
    before = rng.uniform(EDGE, whole - stretch - EDGE)
    behind = whole - stretch - before
    strong = dataclasses.replace(
        speaker, expression=STRONG * speaker.expression
    )
    return np.concatenate(
        [
            synthesize({"neu": 1.0}, speaker, rng, before),
            synthesize(weights, strong, rng, stretch),
            synthesize({"neu": 1.0}, speaker, rng, behind),
        ]
    )


LOCAL_WAY = Way(draw_weights, draw_ballots, say)


@checked
def mini_local_iemocap(
    folder=None, seed: Whole(0) = 0, utterances_per_speaker: Whole(1) = 40
):
    """Makes the mini corpus, if it is not there yet.

    Speakers, emotions and files are as in `corpora.mini.iemocap.mini_iemocap`.

    Arguments
    ---------
    folder : str
        Where to make it; when None, `$SPEECHBRAIN_SER_CACHE` or
        `~/.cache/speechbrain_ser`.
    seed : int
        The same seed gives the same bytes.
    utterances_per_speaker : int
        The corpus has ten times as many.

    Returns
    -------
    str
        The path of its folder `IEMOCAP_full_release`.

    Example
    -------
    >>> path = mini_local_iemocap(
    ...     getfixture("tmp_path"), utterances_per_speaker=1
    ... )
    >>> path.split("/")[-2:]
    ['mini_iemocap-v2-local-seed0-1', 'IEMOCAP_full_release']
    """
    return make_release(
        VERSION, LOCAL_WAY, folder, seed, utterances_per_speaker
    )
