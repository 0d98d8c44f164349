"""The embedded mini corpora in RECOLA's layout: voices of another language.

Both have another spectrum, rate and pitch range than the first language. In the
second version speech has a cue besides that does not carry over: where arousal
is high the consonants hiss, else they are soft (`HISS`); in the other corpora
they have nothing to do with it. A model that hides the language has to leave
this cue, which is nowhere else; one that does not fails with it.
"""

import dataclasses
import functools
import os

import numpy as np
import scipy

from speechbrain_ser.corpora.mini.tree import (
    another_version,
    make_tree,
    write_decoy,
    write_sound,
    write_text,
)
from speechbrain_ser.corpora.mini.voice import (
    SAMPLE_RATE,
    SECOND_LANGUAGE,
    blend,
    draw_blend,
    draw_speaker,
    synthesize,
)
from speechbrain_ser.utils.settings import Whole, checked

# A part of the tree's name: raise it when any byte would change.
VERSION, SECOND_VERSION = 1, 2

# What consonants are in the second version, as in `Language.bursts`.
HISS = {"high": (0.9, 1.3), "low": (0.05, 0.15)}

# The layout.
DIMENSIONS = ("arousal", "valence")
RATINGS = os.path.join("RECOLA-Annotation", "emotional_behaviour")
STEP = 0.04  # Seconds from one rating to the next.
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
    return draw_blend(emotion, NEIGHBOURS, 0.6, 0.85, rng)


def language_of(weights):
    """Gives the language as it is said where its consonants tell arousal.

    Arguments
    ---------
    weights : dict
        Emotion -> weight.

    Returns
    -------
    Language

    Example
    -------
    >>> language_of({"sad": 1.0}).bursts == HISS["low"]
    True
    """
    arousal = blend(TARGETS, weights)[0]
    bursts = HISS["high" if arousal > 0 else "low"]
    return dataclasses.replace(SECOND_LANGUAGE, bursts=bursts)


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
    drift = scipy.signal.lfilter(
        [1], [1, -0.99], rng.normal(0, 0.02, len(target))
    )
    return np.clip(
        scipy.signal.lfilter([0.25], [1, -0.75], seen + drift), -1, 1
    )


def draw_recording(speaker, seed, utterances, language):
    """Draws the utterances of a speaker, with pauses between them.

    Arguments
    ---------
    speaker : Speaker
        Who speaks.
    seed : list of int
        The recording's own.
    utterances : int
        How many.
    language : callable
        The emotions' weights to the language that is said.

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
        speech = synthesize(weights, speaker, own, language=language(weights))
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


def write_recording(root, speaker, seed, utterances, language):
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
    language : callable
        See `draw_recording`.
    """
    samples, spans, targets = draw_recording(
        speaker, seed, utterances, language
    )
    folder = os.path.join(root, "RECOLA-Audio-recordings")
    os.makedirs(folder, exist_ok=True)
    write_sound(samples, folder, f"{speaker.name}.wav")
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
        write_text("\n".join(rows) + "\n", root, RATINGS, dimension, file)


@checked
def mini_recola(
    folder=None, seed: Whole(0) = 0, utterances_per_speaker: Whole(1) = 24
):
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

    return make_release(
        VERSION, plain_language, folder, seed, utterances_per_speaker
    )


def plain_language(weights):
    """Gives the language of the first version, whatever is felt."""
    return SECOND_LANGUAGE


def make_release(version, language, folder, seed, utterances_per_speaker):
    """Makes a version of the corpus, if it is not there; see `mini_recola`."""

    def fill(root):
        """Writes the recordings with their ratings."""
        for place, who in enumerate(SPEAKERS):
            own = [seed, 3000 + place]
            rng = np.random.default_rng([*own, 1])
            speaker = draw_speaker(who, "FM"[place % 2], rng)
            write_recording(
                root, speaker, own, utterances_per_speaker, language
            )
        first = f"{SPEAKERS[0]}.csv"
        write_decoy(root, "RECOLA-Audio_timings", first)
        for dimension in DIMENSIONS:
            write_decoy(root, RATINGS, dimension, first)

    name = f"mini_recola-v{version}-seed{seed}-{utterances_per_speaker}"
    return make_tree(name, "RECOLA", README, fill, folder)


# The second version, whose consonants tell arousal.
hissing_recola = another_version(
    mini_recola,
    functools.partial(make_release, SECOND_VERSION, language_of),
    "hissing_recola",
    __name__,
)
