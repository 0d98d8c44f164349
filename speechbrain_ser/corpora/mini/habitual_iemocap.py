"""The mini corpus in IEMOCAP's layout whose speakers prefer emotions.

A method that forgets the speaker has something to gain here: in sessions 2 to 5
a share of `HABIT` of what a speaker says is of one emotion, the speaker's own
one, which two of the eight speakers have in common. Session 1, which tests in
fold 1, has no habits: who takes a voice for an emotion fails there.
"""

from speechbrain_ser.corpora.mini.iemocap import (
    Way,
    blended,
    draw_ballots,
    draw_label,
    make_release,
    say,
)
from speechbrain_ser.utils.settings import Whole, checked

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


@checked
def mini_habitual_iemocap(
    folder=None, seed: Whole(0) = 0, utterances_per_speaker: Whole(1) = 40
):
    """Makes the mini corpus, if it is not there yet.

    Speakers and files are as in `corpora.mini.iemocap.mini_iemocap`.

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
    >>> path = mini_habitual_iemocap(
    ...     getfixture("tmp_path"), utterances_per_speaker=1
    ... )
    >>> path.split("/")[-2:]
    ['mini_iemocap-v2-habitual-seed0-1', 'IEMOCAP_full_release']
    """
    return make_release(
        VERSION, HABITUAL_WAY, folder, seed, utterances_per_speaker
    )
