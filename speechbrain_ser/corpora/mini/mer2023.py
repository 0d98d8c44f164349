"""The embedded mini corpus in MER2023's layout: a synthetic voice."""

import os
from collections import Counter

import numpy as np
import soundfile
from speechbrain.utils.logger import get_logger

from speechbrain_ser.corpora.mini.iemocap import (
    APPLE_DOUBLE,
    write_text,
)
from speechbrain_ser.corpora.mini.voice import (
    SAMPLE_RATE,
    blend,
    draw_speaker,
    synthesize,
)
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import cache_folder, make_folder

logger = get_logger(__name__)

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
    weight = rng.uniform(0.55, 0.8)
    return {emotion: weight, str(rng.choice(NEIGHBOURS[emotion])): 1 - weight}


def draw_valence(weights, rng):
    """Draws a valence in steps of 0.25, in the release's range."""
    drawn = np.clip(blend(VALENCE, weights)[0] + rng.normal(0, 0.5), -5, 4.25)
    return round(4 * drawn) / 4


def write_part(root, part, names, sizes, seed):
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
        samples = synthesize(voices, speaker, rng)
        path = os.path.join(folder, f"{name}.wav")
        soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16")
    if part == "test3":
        rows = [row.rsplit(",", 1)[0] for row in rows]
    write_text("\n".join(rows) + "\n", *os.path.split(table))
    decoys = (os.path.join(folder, f"{names[0]}.wav"), table)
    for beside, name in map(os.path.split, decoys):
        with open(os.path.join(beside, f"._{name}"), "wb") as file:
            file.write(APPLE_DOUBLE)


def mini_mer2023(folder=None, seed=0, utterances=300):
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
    if seed < 0 or not 6 <= utterances <= 5000:
        raise InputError(
            "the mini corpus needs a seed of 0 or more and 6 to 5000 "
            f"utterances, not {seed} and {utterances}."
        )
    name = f"mini_mer2023-v{VERSION}-seed{seed}-{utterances}"
    path = os.path.join(folder or cache_folder(), name)
    release = os.path.join(path, "MER2023")
    if os.path.isdir(release):
        return release

    def fill(whole):
        """Writes the tree."""
        root = os.path.join(whole, "MER2023")
        write_text(README, root, "README.txt")
        few = max(6, utterances // 10)
        numbers = np.random.default_rng(seed).permutation(N_NAMES)
        for place, (part, count) in enumerate(
            {"train": utterances, "test1": few, "test3": few}.items()
        ):
            stem = "samplenew" if part == "test3" else "sample"
            chosen, numbers = numbers[:count], numbers[count:]
            names = [f"{stem}_{number:08d}" for number in chosen]
            write_part(
                root, part, names, class_sizes(count), [seed, 1000 + place]
            )

    logger.info("Making the mini corpus in %s.", path)
    make_folder(path, fill)
    return release
