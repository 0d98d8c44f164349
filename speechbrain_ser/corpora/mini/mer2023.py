"""The embedded mini corpus in MER2023's layout: a synthetic voice."""

import os
from collections import Counter

import numpy as np

from speechbrain_ser.corpora.mini.tree import (
    make_tree,
    write_decoy,
    write_sound,
    write_text,
)
from speechbrain_ser.corpora.mini.voice import (
    blend,
    draw_blend,
    draw_speaker,
    synthesize,
)
from speechbrain_ser.utils.settings import Whole, checked

VERSION = 1  # A part of the tree's name: raise it when any byte would change.

# The voice's name of each emotion.
VOICES = {
    "neutral": "neu",
    "angry": "ang",
    "happy": "hap",
    "sad": "sad",
    "worried": "wor",
    "surprise": "sur",
}
# What each emotion is blended with.
NEIGHBOURS = {
    "neutral": ("sad", "happy", "worried"),
    "angry": ("neutral", "surprise"),
    "happy": ("neutral", "surprise"),
    "sad": ("neutral", "worried"),
    "worried": ("sad", "neutral"),
    "surprise": ("happy", "angry"),
}
VALENCE = {
    "neutral": (0.0,),
    "angry": (-2.5,),
    "happy": (2.25,),
    "sad": (-2.25,),
    "worried": (-1.25,),
    "surprise": (0.25,),
}
# Of the release's 3373 clips; neutral is what remains.
SHARES = {
    "angry": 822 / 3373,
    "happy": 689 / 3373,
    "sad": 383 / 3373,
    "worried": 462 / 3373,
    "surprise": 146 / 3373,
}
RAREST = 1 / 15  # No class is smaller, so that each has clips for five folds.
N_SPEAKERS = 12
# The numbers of the release's clips are below this.
N_NAMES = 7029
# Part -> the folder of its clips and its label file.
PLACES = {
    "train": ("mer2023train/train", "mer2023train/train-label.csv"),
    "test1": ("test1", "test-labels/test1-label.csv"),
    "test3": ("mer2023train/test3", "test-labels/test3-label.csv"),
}
README = """\
This is NOT MER2023. It is a mini corpus of speechbrain_ser: a synthetic voice
in the layout of MER2023, with .wav files where the release has videos. Speakers
and emotions are made up. Numbers got here tell that the code runs, never how
well a method does on people.
"""


def class_sizes(utterances):
    """Gives the clips of each emotion, in about the release's proportions.

    Arguments
    ---------
    utterances : int
        Of all emotions together, 6 or more.

    Returns
    -------
    dict

    Example
    -------
    >>> class_sizes(300)  # doctest: +NORMALIZE_WHITESPACE
    {'neutral': 71, 'angry': 73, 'happy': 61, 'sad': 34, 'worried': 41,
    'surprise': 20}
    """
    smallest = max(1, int(RAREST * utterances))
    sizes = {
        emotion: max(smallest, round(share * utterances))
        for emotion, share in SHARES.items()
    }
    return {"neutral": utterances - sum(sizes.values()), **sizes}


def draw_weights(emotion, rng):
    """Draws an utterance's blend: half of them are of one emotion alone."""
    if rng.random() < 0.5:
        return {emotion: 1.0}
    return draw_blend(emotion, NEIGHBOURS, 0.55, 0.8, rng)


def draw_valence(weights, rng):
    """Draws a valence in steps of 0.25, in the release's range."""
    drawn = np.clip(blend(VALENCE, weights)[0] + rng.normal(0, 0.5), -5, 4.25)
    return round(4 * drawn) / 4


def write_part(root, part, names, sizes, seed, say):
    """Writes the clips and the labels of a part.

    Arguments
    ---------
    root : str
        The folder of the corpus.
    part : str
        Of PLACES.
    names : list of str
        Of the clips.
    sizes : dict
        Emotion -> its clips.
    seed : list of int
        The part's own.
    say : callable
        Weights of emotions, speaker and source of chance to samples.
    """
    folder, table = (os.path.join(root, place) for place in PLACES[part])
    os.makedirs(folder)
    speakers = [
        draw_speaker(
            f"{k}", "FM"[k % 2], np.random.default_rng([seed[0], k + 1])
        )
        for k in range(N_SPEAKERS)
    ]
    emotions = [*Counter(sizes).elements()]
    np.random.default_rng(seed).shuffle(emotions)
    rows = ["name,discrete,valence"]
    for index, (name, emotion) in enumerate(zip(names, emotions)):
        rng = np.random.default_rng([*seed, index + 1])
        weights = draw_weights(emotion, rng)
        rows.append(f"{name},{emotion},{draw_valence(weights, rng)}")
        voices = {VOICES[word]: weight for word, weight in weights.items()}
        speaker = speakers[rng.integers(N_SPEAKERS)]
        samples = say(voices, speaker, rng)
        write_sound(samples, folder, f"{name}.wav")
    if part == "test3":
        rows = [row.rsplit(",", 1)[0] for row in rows]
    write_text("\n".join(rows) + "\n", *os.path.split(table))
    write_decoy(folder, f"{names[0]}.wav")
    write_decoy(table)


@checked
def mini_mer2023(
    folder=None, seed: Whole(0) = 0, utterances: Whole(6, 5000) = 300
):
    """Makes the mini corpus in MER2023's layout, if it is not there yet.

    Twelve voices say clips of six emotions, about half of them blends of two.
    As in the release, no file says who speaks.

    Arguments
    ---------
    folder : str
        Where to make it; when None, `$SPEECHBRAIN_SER_CACHE` or
        `~/.cache/speechbrain_ser`.
    seed : int
        The same seed gives the same bytes.
    utterances : int
        Clips of the train part; test1 and test3 have a tenth, at least 6.

    Returns
    -------
    str
        The path of its folder `MER2023`.

    Example
    -------
    >>> path = mini_mer2023(getfixture("tmp_path"), utterances=6)
    >>> sorted(os.listdir(path))
    ['README.txt', 'mer2023train', 'test-labels', 'test1']
    """

    return make_release(VERSION, synthesize, folder, seed, utterances)


def make_release(version, say, folder, seed, utterances):
    """Makes a version of the corpus, if it is not there; see `mini_mer2023`."""

    def fill(root):
        """Writes the parts."""
        few = max(6, utterances // 10)
        numbers = np.random.default_rng(seed).permutation(N_NAMES)
        for place, (part, count) in enumerate(
            {"train": utterances, "test1": few, "test3": few}.items()
        ):
            stem = "samplenew" if part == "test3" else "sample"
            chosen, numbers = numbers[:count], numbers[count:]
            names = [f"{stem}_{number:08d}" for number in chosen]
            own = [seed, 1000 + place]
            write_part(root, part, names, class_sizes(count), own, say)

    name = f"mini_mer2023-v{version}-seed{seed}-{utterances}"
    return make_tree(name, "MER2023", README, fill, folder)
