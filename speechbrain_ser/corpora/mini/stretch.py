"""Speech whose emotion is in one stretch, and the rest is neutral.

A stretch of `STRETCH` seconds has it, `STRONG` times as far from neutral speech
as the voice's own, and all before and behind is said as the same voice says
neutral things.
"""

import dataclasses

import numpy as np

from speechbrain_ser.corpora.mini.voice import synthesize

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
