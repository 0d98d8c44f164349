"""The mini corpus in IEMOCAP's layout whose sexes express differently.

A method that learns who speaks, a woman or a man, has something to use here: a
woman says anger as a man says sadness, sadness as he says happiness and
happiness as he says anger, so that no cue tells one of these where the sex is
not known.
"""

import dataclasses
import functools

from speechbrain_ser.corpora.mini.iemocap import (
    Way,
    draw_ballots,
    draw_weights,
    make_release,
    mini_iemocap,
)
from speechbrain_ser.corpora.mini.tree import another_version
from speechbrain_ser.corpora.mini.voice import synthesize

VERSION = "2-gendered"  # A part of the tree's name: change it with any byte.

STRONG = 1.5  # factor on `Speaker.expression`
SAID_BY_WOMEN = {
    "ang": "sad",
    "sad": "hap",
    "hap": "ang",
    "exc": "ang",
    "fru": "sad",
    "neu": "neu",
}


def say(weights, speaker, rng):
    """Says an utterance as a woman or a man does.

    Arguments
    ---------
    weights : dict
        Emotion -> weight.
    speaker : Speaker
        Who speaks.
    rng : numpy.random.Generator
        The source of chance.

    Returns
    -------
    numpy.ndarray
        float32, ``[samples]``, between -1 and 1.
    """
    said = weights
    if speaker.gender == "F":
        said = {}
        for label, weight in weights.items():
            way = SAID_BY_WOMEN[label]
            said[way] = said.get(way, 0) + weight
    strong = dataclasses.replace(
        speaker, expression=STRONG * speaker.expression
    )
    return synthesize(said, strong, rng)


GENDERED_WAY = Way(draw_weights, draw_ballots, say)

mini_gendered_iemocap = another_version(
    mini_iemocap,
    functools.partial(make_release, VERSION, GENDERED_WAY),
    "mini_gendered_iemocap",
    __name__,
)
