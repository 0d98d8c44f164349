"""The embedded mini corpus in RAVDESS's layout: two intensities."""

import itertools
import os

import numpy as np

from speechbrain_ser.corpora.mini.tree import (
    make_tree,
    write_decoy,
    write_sound,
)
from speechbrain_ser.corpora.mini.voice import draw_speaker, synthesize
from speechbrain_ser.utils.settings import Whole, checked

VERSION = 1  # A part of the tree's name: raise it when any byte would change.

# A man and a woman of three of the folds of `protocols.ravdess`, whichever.
ACTORS = (1, 2, 5, 6, 9, 10)
# The release's number of each emotion, and the voice's blend that stands for it.
EMOTIONS = {
    "01": {"neu": 1.0},
    "02": {"neu": 0.5, "sad": 0.5},
    "03": {"hap": 1.0},
    "04": {"sad": 1.0},
    "05": {"ang": 1.0},
    "06": {"wor": 1.0},
    "07": {"fru": 1.0},
    "08": {"sur": 1.0},
}
NEUTRAL, NORMAL, STRONG = "01", "01", "02"
SECONDS = (0.6, 1.1)  # of an utterance
SHARE = 0.5  # of the emotion where it is said normally; the rest is neutral
README = """\
This is NOT RAVDESS. It is a mini corpus of speechbrain_ser: a synthetic voice in
the layout of RAVDESS. Speakers and emotions are made up. Numbers got here tell
that the code runs, never how well a method does on people.
"""


def weights_of(emotion, intensity):
    """Gives the voice's blend of an emotion and its intensity.

    Example
    -------
    >>> weights_of("05", "01"), weights_of("05", "02")
    ({'ang': 0.5, 'neu': 0.5}, {'ang': 1.0})
    """
    if intensity == STRONG or emotion == NEUTRAL:
        return EMOTIONS[emotion]
    weights = {word: SHARE * w for word, w in EMOTIONS[emotion].items()}
    weights["neu"] = weights.get("neu", 0.0) + 1 - SHARE
    return weights


@checked
def mini_ravdess(folder=None, seed: Whole(0) = 0, sentences: Whole(1, 2) = 2):
    """Makes the mini corpus in RAVDESS's layout, if it is not there yet.

    Six voices say each sentence twice in eight emotions and two intensities;
    neutral has one, as in the release.

    Arguments
    ---------
    folder : str
        Where to make it; when None, `$SPEECHBRAIN_SER_CACHE` or
        `~/.cache/speechbrain_ser`.
    seed : int
        The same seed gives the same bytes.
    sentences : int
        The corpus has 180 times as many recordings.

    Returns
    -------
    str
        The path of its folder `RAVDESS`.

    Example
    -------
    >>> path = mini_ravdess(getfixture("tmp_path"), sentences=1)
    >>> sorted(os.listdir(path))[:3]
    ['Actor_01', 'Actor_02', 'Actor_05']
    """

    def fill(root):
        """Writes the actors' folders."""
        for actor in ACTORS:
            own = np.random.default_rng([seed, 5000 + actor])
            speaker = draw_speaker(f"{actor:02}", "FM"[actor % 2], own)
            place = os.path.join(root, f"Actor_{actor:02}")
            os.makedirs(place)
            for emotion, intensity, statement, repetition in itertools.product(
                EMOTIONS, (NORMAL, STRONG), range(1, sentences + 1), (1, 2)
            ):
                if (emotion, intensity) == (NEUTRAL, STRONG):
                    continue
                file = (
                    f"03-01-{emotion}-{intensity}-0{statement}-0{repetition}-"
                    f"{actor:02}.wav"
                )
                numbers = map(int, file.removesuffix(".wav").split("-"))
                rng = np.random.default_rng([seed, 5, *numbers])
                weights = weights_of(emotion, intensity)
                seconds = rng.uniform(*SECONDS)
                samples = synthesize(weights, speaker, rng, seconds)
                write_sound(samples, place, file)
        write_decoy(root, "Actor_01", "03-01-01-01-01-01-01.wav")

    name = f"mini_ravdess-v{VERSION}-seed{seed}-{sentences}"
    return make_tree(name, "RAVDESS", README, fill, folder)
