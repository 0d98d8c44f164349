"""The embedded mini corpus in RECOLA's layout: voices of another language."""

import os

import numpy as np
import soundfile
from scipy.signal import lfilter
from speechbrain.utils.logger import get_logger

from speechbrain_ser.corpora.mini.iemocap import APPLE_DOUBLE, write_text
from speechbrain_ser.corpora.mini.voice import (
    SAMPLE_RATE,
    SECOND_LANGUAGE,
    blend,
    draw_speaker,
    synthesize,
)
from speechbrain_ser.corpora.recola import DIMENSIONS, STEP
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import cache_folder, make_folder

logger = get_logger(__name__)

VERSION = 1  # A part of the tree's name: raise it when any byte would change.

# Of the release's recordings.
SPEAKERS = ("P16", "P17", "P19", "P21", "P23", "P25", "P26", "P28")
RATERS = ("FM1", "FM2", "FM3", "FF1", "FF2", "FF3")
# Arousal and valence; each quadrant has as many utterances.
TARGETS = {
    "ang": (0.70, -0.60),
    "fru": (0.40, -0.50),
    "hap": (0.45, 0.65),
    "exc": (0.75, 0.60),
    "sad": (-0.55, -0.50),
    "neu": (-0.35, 0.35),
}
CYCLE = ("neu", "hap", "sad", "ang", "neu", "exc", "sad", "fru")
# What each emotion is blended with.
NEIGHBOURS = {
    "ang": ("fru", "exc"),
    "fru": ("ang", "sad"),
    "hap": ("exc", "neu"),
    "exc": ("hap", "ang"),
    "sad": ("neu", "fru"),
    "neu": ("sad", "hap"),
}
README = """\
This is NOT RECOLA. It is a mini corpus of speechbrain_ser: a synthetic voice in
the layout of RECOLA, in a language that is made up, as are speakers, emotions
and annotators. Numbers got here tell that the code runs, never how well a
method does on people.
"""


def draw_weights(emotion, rng):
    """Draws an utterance's blend: half of them are of one emotion alone."""
    if rng.random() < 0.5:
        return {emotion: 1.0}
    weight = rng.uniform(0.6, 0.85)
    return {emotion: weight, str(rng.choice(NEIGHBOURS[emotion])): 1 - weight}


def rate(target, habit, rng):
    """Makes what one annotator says of a recording in one dimension.

    Arguments
    ---------
    target : numpy.ndarray
        What the speech shows at each step.
    habit : numpy.random.Generator
        The annotator's: the same state gives the same lag, range and bias.
    rng : numpy.random.Generator
        The recording's.

    Returns
    -------
    numpy.ndarray
        Ratings from -1 to 1.

    Example
    -------
    >>> target = np.repeat([0.0, 0.8], 50)
    >>> habit, rng = np.random.default_rng(0), np.random.default_rng(1)
    >>> rating = rate(target, habit, rng)
    >>> print(rating[:50].mean().round(1), rating[75:].mean().round(1))
    0.0 0.6
    """
    lag = habit.integers(4, 11)
    seen = np.concatenate([np.zeros(lag), target])[: len(target)]
    seen = habit.uniform(0.7, 1.1) * seen + habit.normal(0, 0.04)
    drift = lfilter([1], [1, -0.99], rng.normal(0, 0.02, len(target)))
    return np.clip(lfilter([0.25], [1, -0.75], seen + drift), -1, 1)


def draw_recording(speaker, seed, utterances):
    """Draws the utterances of a speaker, with pauses between them.

    Arguments
    ---------
    speaker : Speaker
        Who speaks.
    seed : list of int
        The recording's own.
    utterances : int
        How many.

    Returns
    -------
    samples : numpy.ndarray
        The whole recording.
    spans : list of tuple
        Start and stop of each utterance, in seconds.
    targets : dict
        Dimension -> what the speech shows at each step; 0 in pauses.
    """
    rng = np.random.default_rng([*seed, 2])
    emotions = np.resize(CYCLE, utterances)
    rng.shuffle(emotions)
    pieces, spans, shown, now = [], [], [], 0.0
    for index, emotion in enumerate(emotions):
        own = np.random.default_rng([*seed, 3, index])
        weights = draw_weights(str(emotion), own)
        speech = synthesize(weights, speaker, own, language=SECOND_LANGUAGE)
        # Times are written with two decimals.
        pause = round(rng.uniform(0.8, 1.2), 2)
        length = -(-len(speech) * 100 // SAMPLE_RATE) / 100
        spans.append((now + pause, now + pause + length))
        shown.append(blend(TARGETS, weights))
        total = round((pause + length) * SAMPLE_RATE)
        piece = 0.0005 * rng.normal(size=total)
        begin = round(pause * SAMPLE_RATE)
        piece[begin : begin + len(speech)] += speech
        pieces.append(piece)
        now += pause + length
    pieces.append(0.0005 * rng.normal(size=SAMPLE_RATE))
    samples = np.concatenate(pieces)
    time = STEP * np.arange(int(len(samples) / SAMPLE_RATE / STEP) + 1)
    targets = {dimension: np.zeros(len(time)) for dimension in DIMENSIONS}
    for (start, stop), values in zip(spans, shown):
        inside = (time >= start) & (time < stop)
        for dimension, value in zip(DIMENSIONS, values):
            targets[dimension][inside] = value
    return samples, spans, targets


def write_recording(root, speaker, seed, utterances):
    """Writes a speaker's recording, timings and ratings.

    Arguments
    ---------
    root : str
        The folder of the corpus.
    speaker : Speaker
        Who speaks.
    seed : list of int
        The corpus's, and the speaker's own.
    utterances : int
        How many.
    """
    samples, spans, targets = draw_recording(speaker, seed, utterances)
    folder = os.path.join(root, "RECOLA-Audio-recordings")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{speaker.name}.wav")
    soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16")
    rows = ["start;stop"] + [f"{start:.2f};{stop:.2f}" for start, stop in spans]
    file = f"{speaker.name}.csv"
    write_text("\n".join(rows) + "\n", root, "RECOLA-Audio_timings", file)
    for place, dimension in enumerate(DIMENSIONS):
        columns = [
            rate(
                targets[dimension],
                np.random.default_rng([seed[0], 2000 + place, k]),
                np.random.default_rng([*seed, 4 + place, k]),
            )
            for k in range(len(RATERS))
        ]
        # A blank behind every annotator but the last, as in the release.
        rows = ["time;" + " ;".join(RATERS)]
        for step, ratings in enumerate(np.round(np.stack(columns, 1), 2) + 0.0):
            cells = [step * STEP, *ratings]
            rows.append(";".join(f"{cell:.2f}" for cell in cells))
        write_text(
            "\n".join(rows) + "\n",
            root,
            "RECOLA-Annotation",
            "emotional_behaviour",
            dimension,
            file,
        )


def mini_recola(folder=None, seed=0, utterances_per_speaker=24):
    """Makes the mini corpus in RECOLA's layout, if it is not there yet.

    Eight voices of `SECOND_LANGUAGE`, each with a recording of its own, and
    six annotators, who lag behind and disagree a little.

    Arguments
    ---------
    folder : str
        Where to make it; when None, `$SPEECHBRAIN_SER_CACHE` or
        `~/.cache/speechbrain_ser`.
    seed : int
        The same seed gives the same bytes.
    utterances_per_speaker : int
        The corpus has eight times as many.

    Returns
    -------
    str
        The path of its folder `RECOLA`.

    Example
    -------
    >>> path = mini_recola(getfixture("tmp_path"), utterances_per_speaker=1)
    >>> sorted(os.listdir(path))[:2]
    ['README.txt', 'RECOLA-Annotation']
    """
    if seed < 0 or utterances_per_speaker < 1:
        raise InputError(
            "the mini corpus needs a seed of 0 or more and 1 or more "
            f"utterances per speaker, not {seed} and {utterances_per_speaker}."
        )
    name = f"mini_recola-v{VERSION}-seed{seed}-{utterances_per_speaker}"
    path = os.path.join(folder or cache_folder(), name)
    release = os.path.join(path, "RECOLA")
    if os.path.isdir(release):
        return release

    def fill(whole):
        """Writes the tree."""
        root = os.path.join(whole, "RECOLA")
        write_text(README, root, "README.txt")
        for place, who in enumerate(SPEAKERS):
            own = [seed, 3000 + place]
            rng = np.random.default_rng([*own, 1])
            speaker = draw_speaker(who, "FM"[place % 2], rng)
            write_recording(root, speaker, own, utterances_per_speaker)
        ratings = os.path.join("RECOLA-Annotation", "emotional_behaviour")
        for place in (
            "RECOLA-Audio_timings",
            *(os.path.join(ratings, dimension) for dimension in DIMENSIONS),
        ):
            decoy = os.path.join(root, place, f"._{SPEAKERS[0]}.csv")
            with open(decoy, "wb") as file:
                file.write(APPLE_DOUBLE)

    logger.info("Making the mini corpus in %s.", path)
    make_folder(path, fill)
    return release
