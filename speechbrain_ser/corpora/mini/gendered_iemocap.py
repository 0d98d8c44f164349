"""The mini corpus in IEMOCAP's layout whose sexes express differently.

A method that learns who speaks, a woman or a man, has something to use here: a
woman says anger as a man says sadness, sadness as he says happiness and
happiness as he says anger, so that no cue tells one of these where the sex is
not known.
"""

import dataclasses

from speechbrain_ser.corpora.mini.iemocap import (
    Way,
    draw_ballots,
    draw_weights,
    make_release,
)
from speechbrain_ser.corpora.mini.voice import synthesize
from speechbrain_ser.utils.settings import Whole, checked

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


@checked
def mini_gendered_iemocap(
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
    >>> path = mini_gendered_iemocap(
    ...     getfixture("tmp_path"), utterances_per_speaker=1
    ... )
    >>> path.split("/")[-2:]
    ['mini_iemocap-v2-gendered-seed0-1', 'IEMOCAP_full_release']
    """
    return make_release(
        VERSION, GENDERED_WAY, folder, seed, utterances_per_speaker
    )
