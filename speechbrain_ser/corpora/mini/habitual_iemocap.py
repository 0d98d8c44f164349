"""The mini corpus in IEMOCAP's layout whose speakers prefer emotions.

A method that forgets the speaker has something to gain here: in sessions 2 to 5
a share of `HABIT` of what a speaker says is of one emotion, the speaker's own
one, which two of the eight speakers have in common. Session 1, which tests in
fold 1, has no habits: who takes a voice for an emotion fails there.
"""

import functools

from speechbrain_ser.corpora.mini.iemocap import (
    Way,
    blended,
    draw_ballots,
    draw_label,
    make_release,
    mini_iemocap,
    say,
)
from speechbrain_ser.corpora.mini.tree import another_version

VERSION = "2-habitual"  # A part of the tree's name: change it with any byte.

HABIT = 0.6
PREFERRED = {
    "Ses02F": "ang",
    "Ses02M": "hap",
    "Ses03F": "sad",
    "Ses03M": "neu",
    "Ses04F": "hap",
    "Ses04M": "ang",
    "Ses05F": "neu",
    "Ses05M": "sad",
}


def draw_weights(index, speaker, rng):
    """Draws the emotions of a speaker's utterance; the first is its label."""
    label, precise = draw_label(index)
    if speaker.name in PREFERRED and rng.random() < HABIT:
        label = PREFERRED[speaker.name]
    return blended(label, precise, rng)


HABITUAL_WAY = Way(draw_weights, draw_ballots, say)

mini_habitual_iemocap = another_version(
    mini_iemocap,
    functools.partial(make_release, VERSION, HABITUAL_WAY),
    "mini_habitual_iemocap",
    __name__,
)
