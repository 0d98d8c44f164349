"""The embedded mini corpus in EMO-DB's layout: voices of another language."""

import os

import numpy as np

from speechbrain_ser.corpora.mini.tree import (
    make_tree,
    write_decoy,
    write_sound,
    write_text,
)
from speechbrain_ser.corpora.mini.voice import (
    SECOND_LANGUAGE,
    draw_blend,
    draw_speaker,
    synthesize,
)
from speechbrain_ser.utils.settings import Whole, checked

VERSION = 1  # A part of the tree's name: raise it when any byte would change.

# Some of the release's.
SPEAKERS = {"03": "M", "08": "F", "09": "F", "10": "M", "11": "M", "13": "F"}
SENTENCES = ("a01", "a02", "a04", "a05", "a07", "b01", "b02", "b03")
# The release's letter of each of the voice's emotions.
LETTERS = {"ang": "W", "sad": "T", "neu": "N", "hap": "F"}
# What each emotion is blended with.
NEIGHBOURS = {
    "ang": ("hap", "neu"),
    "sad": ("neu",),
    "neu": ("sad", "hap"),
    "hap": ("neu", "ang"),
}
README = """\
This is NOT EMO-DB. It is a mini corpus of speechbrain_ser: a synthetic voice in
the layout of EMO-DB, in a language that is made up, as are speakers, emotions
and listeners. Numbers got here tell that the code runs, never how well a method
does on people.
"""


def say(emotion, speaker, rng):
    """Says a sentence with an emotion, half of them blended with another one.

    Arguments
    ---------
    emotion : str
        Of LETTERS.
    speaker : Speaker
        Who speaks.
    rng : numpy.random.Generator
        The source of chance.

    Returns
    -------
    samples : numpy.ndarray
    recognised : int
        Per cent of twenty listeners who name the emotion, 80 or more, as was
        the condition to be a part of the release.
    """
    weights = {emotion: 1.0}
    if rng.random() < 0.5:
        weights = draw_blend(emotion, NEIGHBOURS, 0.6, 0.85, rng)
    samples = synthesize(weights, speaker, rng, language=SECOND_LANGUAGE)
    heard = rng.binomial(20, 0.7 + 0.28 * weights[emotion])
    return samples, 5 * max(16, int(heard))


@checked
def mini_emodb(folder=None, seed: Whole(0) = 0, sentences: Whole(1, 8) = 4):
    """Makes the mini corpus in EMO-DB's layout, if it is not there yet.

    Six voices of `SECOND_LANGUAGE` say each sentence in four emotions, once.

    Arguments
    ---------
    folder : str
        Where to make it; when None, `$SPEECHBRAIN_SER_CACHE` or
        `~/.cache/speechbrain_ser`.
    seed : int
        The same seed gives the same bytes.
    sentences : int
        The corpus has 24 times as many recordings.

    Returns
    -------
    str
        The path of its folder `EMO-DB`.

    Example
    -------
    >>> path = mini_emodb(getfixture("tmp_path"), sentences=1)
    >>> sorted(os.listdir(path))
    ['README.txt', 'agreement.csv', 'wav']
    """

    def fill(root):
        """Writes the recordings and what listeners said."""
        os.makedirs(os.path.join(root, "wav"))
        rows = ["file,recognised_pct"]
        for who, (name, gender) in enumerate(SPEAKERS.items()):
            own = np.random.default_rng([seed, 4000 + who])
            speaker = draw_speaker(name, gender, own)
            for place, emotion in enumerate(LETTERS):
                for number, sentence in enumerate(SENTENCES[:sentences]):
                    rng = np.random.default_rng([seed, 4, who, place, number])
                    samples, recognised = say(emotion, speaker, rng)
                    file = f"{name}{sentence}{LETTERS[emotion]}a.wav"
                    write_sound(samples, root, "wav", file)
                    rows.append(f"{file},{recognised}")
        write_text("\n".join(rows) + "\n", root, "agreement.csv")
        write_decoy(root, "wav", "03a01Wa.wav")

    name = f"mini_emodb-v{VERSION}-seed{seed}-{sentences}"
    return make_tree(name, "EMO-DB", README, fill, folder)
