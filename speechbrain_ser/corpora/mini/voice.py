"""A synthetic voice: glottal pulses through moving formants.

Jitter, shimmer and breath belong to the source, and the emotion sets the
prosody, the language the vowels, the rhythm and the intonation. It says
nothing and proves nothing about people.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy  # its parts load when a voice is made

SAMPLE_RATE = 16000


class Prosody(NamedTuple):
    """How an utterance is said."""

    pitch: float  # semitones above the speaker's own f0
    span: float  # semitones, standard deviation of the accents
    fall: float  # semitones from the beginning to the end
    energy: float  # dB
    rate: float  # syllables per second
    pause: float  # probability of a pause behind a syllable
    tilt: float  # pole of the source's low-pass: 0 pressed, 1 soft
    jitter: float  # relative standard deviation of the period


PROSODY = {
    "ang": Prosody(3.5, 2.8, 3.0, 5.0, 5.2, 0.05, 0.30, 0.020),
    "hap": Prosody(4.0, 3.4, 0.0, 2.0, 4.8, 0.06, 0.50, 0.010),
    "exc": Prosody(5.5, 4.0, -1.0, 4.0, 5.4, 0.03, 0.42, 0.012),
    "sad": Prosody(-1.5, 1.0, 2.5, -4.0, 3.3, 0.30, 0.78, 0.018),
    "neu": Prosody(0.0, 1.8, 2.0, 0.0, 4.3, 0.12, 0.60, 0.010),
    "fru": Prosody(1.5, 2.2, 3.0, 2.0, 4.2, 0.12, 0.45, 0.016),
    "wor": Prosody(2.0, 1.2, 0.5, -3.0, 5.4, 0.28, 0.55, 0.034),
    "sur": Prosody(7.0, 4.4, -5.0, 1.0, 3.9, 0.02, 0.55, 0.008),
}
# Standard deviation from one utterance to the next.
SPREAD = Prosody(1.1, 0.5, 1.5, 1.5, 0.5, 0.05, 0.06, 0.003)
LOWEST = Prosody(-9.0, 0.3, -6.0, -12.0, 2.0, 0.0, 0.0, 0.003)
HIGHEST = Prosody(12.0, 7.0, 8.0, 12.0, 8.0, 0.6, 0.92, 0.05)

BANDWIDTHS = np.array([70.0, 90.0, 130.0, 200.0])


@dataclass(frozen=True)
class Language:
    """What all speakers of a made-up language do, whatever they feel.

    Arguments
    ---------
    name : str
        Any name.
    vowels : tuple of tuple
        The first four formants of an adult man's vowels, in Hz.
    lengths : tuple of float
        Of the shortest and the longest syllable, relative to the mean of the
        emotion's rate.
    consonants : float
        The share of syllables that begin with one.
    bursts : tuple of float
        Of the softest and the loudest consonant, relative to the vowels.
    rate : float
        Factor on the speaking rate.
    accents : float
        Factor on `Prosody.span`.
    rise : float
        Semitones by which the last third of an utterance goes up.
    tilt : float
        Added to `Prosody.tilt`.
    """

    name: str
    vowels: tuple
    lengths: tuple = (0.75, 1.3)
    consonants: float = 0.7
    bursts: tuple = (0.1, 0.4)
    rate: float = 1.0
    accents: float = 1.0
    rise: float = 0.0
    tilt: float = 0.0


FIRST_LANGUAGE = Language(
    "first",
    vowels=(
        (730, 1090, 2440, 3400),
        (530, 1840, 2480, 3500),
        (270, 2290, 3010, 3600),
        (570, 840, 2410, 3300),
        (300, 870, 2240, 3300),
        (500, 1500, 2500, 3500),
    ),
)
# Even, quick syllables of front vowels and sharp consonants, a final rise, and
# a pressed voice.
SECOND_LANGUAGE = Language(
    "second",
    vowels=(
        (640, 2000, 3300, 4600),
        (400, 2300, 3300, 4700),
        (260, 2500, 3500, 4700),
        (430, 1900, 3100, 4600),
        (280, 2150, 3200, 4600),
    ),
    lengths=(0.95, 1.05),
    consonants=0.95,
    bursts=(0.4, 0.8),
    rate=1.35,
    accents=0.6,
    rise=5.0,
    tilt=-0.15,
)


@dataclass(frozen=True)
class Speaker:
    """One voice.

    Arguments
    ---------
    name : str
        Any name.
    gender : str
        F or M.
    f0 : float
        The voice's own fundamental frequency in Hz.
    formants : float
        Factor on all formants: the shorter the vocal tract, the higher.
    level : float
        Loudness in dB, relative to other speakers.
    rate : float
        Factor on the speaking rate.
    tilt : float
        Added to `Prosody.tilt`.
    breath : float
        Aspiration noise, relative to the glottal pulses.
    expression : float
        Factor on the distance of all emotions from neutral speech.
    """

    name: str
    gender: str
    f0: float
    formants: float
    level: float = 0.0
    rate: float = 1.0
    tilt: float = 0.0
    breath: float = 0.1
    expression: float = 1.0


def draw_speaker(name, gender, rng):
    """Draws a speaker.

    Arguments
    ---------
    name : str
        Any name.
    gender : str
        F or M.
    rng : numpy.random.Generator
        The source of chance.

    Returns
    -------
    Speaker

    Example
    -------
    >>> draw_speaker("Ses01F", "F", np.random.default_rng(0)).f0 > 160
    True
    """
    f0, formants = (205, 1.17) if gender == "F" else (118, 1.0)
    return Speaker(
        name,
        gender,
        f0=f0 * 2 ** (rng.uniform(-2.2, 2.2) / 12),
        formants=formants * rng.uniform(0.93, 1.07),
        level=rng.uniform(-3, 3),
        rate=rng.uniform(0.87, 1.15),
        tilt=rng.uniform(-0.08, 0.08),
        breath=rng.uniform(0.05, 0.3),
        expression=rng.uniform(0.8, 1.25),
    )


def blend(table, emotion_weights):
    """Averages the rows of some emotions in a table."""
    rows = [table[emotion] for emotion in emotion_weights]
    return np.average(rows, axis=0, weights=list(emotion_weights.values()))


def draw_blend(emotion, neighbours, least, most, rng):
    """Draws a blend of an emotion with one of its neighbours.

    Arguments
    ---------
    emotion : str
        Its weight is the larger one.
    neighbours : dict
        Emotion -> what it may be blended with.
    least, most : float
        Between which its weight is drawn.
    rng : numpy.random.Generator
        The source of chance.

    Returns
    -------
    dict
        Emotion -> weight; the first is the emotion itself.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> list(draw_blend("sad", {"sad": ("neu",)}, 0.6, 0.8, rng))
    ['sad', 'neu']
    """
    weight = rng.uniform(least, most)
    return {emotion: weight, str(rng.choice(neighbours[emotion])): 1 - weight}


def draw_prosody(emotion_weights, speaker, language, rng):
    """Draws the prosody of one utterance: the emotions' blend, and chance."""
    neutral = np.array(PROSODY["neu"])
    drawn = blend(PROSODY, emotion_weights)
    drawn = neutral + speaker.expression * (drawn - neutral)
    drawn = drawn + rng.normal(size=len(drawn)) * SPREAD
    drawn = Prosody(*np.clip(drawn, LOWEST, HIGHEST))
    tilt = drawn.tilt + speaker.tilt + language.tilt
    return drawn._replace(
        span=drawn.span * language.accents,
        rate=drawn.rate * speaker.rate * language.rate,
        tilt=np.clip(tilt, LOWEST.tilt, HIGHEST.tilt),
    )


def draw_syllables(prosody, language, duration, rng):
    """Draws begin, vowel onset and end of each syllable: seconds, [n, 3]."""
    rows, now = [], 0.0
    while not rows or now < duration:
        length = rng.uniform(*language.lengths) / prosody.rate
        begins = rng.random() < language.consonants
        consonant = min(0.07, 0.35 * length) * begins
        rows.append((now, now + consonant, now + length))
        now += length
        if rng.random() < prosody.pause:
            now += rng.uniform(0.1, 0.3)
    edge = 0.03
    return edge + np.array(rows) * (duration - 2 * edge) / rows[-1][2]


def pitch_contour(prosody, speaker, language, syllables, time, rng):
    """Draws f0 in Hz at each `time`: a fall, accents and the last rise."""
    accents = prosody.span * rng.normal(size=len(syllables))
    semitones = np.interp(time, syllables[:, 1:].mean(axis=1), accents)
    semitones += prosody.pitch + prosody.fall * (0.5 - time / time[-1])
    semitones += language.rise * np.clip(3 * time / time[-1] - 2, 0, 1)
    return np.clip(speaker.f0 * 2 ** (semitones / 12), 60, 600)


def glottal_source(f0, prosody, breath, sample_rate, rng):
    """Makes Rosenberg pulses with jitter, shimmer, breath and spectral tilt."""
    phase = np.cumsum(f0) / sample_rate
    jitter = rng.normal(0, prosody.jitter, int(phase[-1]) + 1)
    phase = np.cumsum(f0 * (1 + jitter[phase.astype(int)])) / sample_rate
    part = phase % 1
    opening, closing = 0.40, 0.12 + 0.12 * prosody.tilt
    flow = np.where(
        part < opening,
        0.5 - 0.5 * np.cos(np.pi * part / opening),
        np.cos(np.pi / 2 * np.minimum((part - opening) / closing, 1)),
    )
    shimmer = rng.normal(1, 3 * prosody.jitter, int(phase[-1]) + 1)
    pulses = np.diff(flow, prepend=flow[0]) * shimmer[phase.astype(int)]
    pulses /= pulses.std() + 1e-9
    source = pulses + breath * flow * rng.normal(size=len(f0))
    return scipy.signal.lfilter([1 - prosody.tilt], [1, -prosody.tilt], source)


def formant_filter(source, formants, sample_rate):
    """Filters with resonators, moved every 10 ms by `formants`, [frames, 4].

    Each is ``y[t] + a1 y[t - 1] + a2 y[t - 2] = gain x[t]``: a triangular band
    that is solved at once, as a filter for each 10 ms is slow to call.
    """
    radius = np.exp(-np.pi * BANDWIDTHS / sample_rate)
    turns = -2 * radius * np.cos(2 * np.pi * formants / sample_rate)
    hop = sample_rate // 100
    band = np.ones((3, len(source)), order="F")
    for turn, square in zip(turns.T, radius**2):
        band[1] = np.repeat(turn, hop)[: len(source)]
        band[2] = square
        gain = 1 + band[1] + square
        source = scipy.linalg.blas.dtbsv(
            2, band, gain * source, lower=1, diag=1
        )
    return source


def envelope(bounds, gains, time, power):
    """Makes one raised-sine hump of each gain between each pair of bounds."""
    total = np.zeros_like(time)
    for (begin, end), gain in zip(bounds, gains):
        first, last = np.searchsorted(time, (begin, end))
        place = np.linspace(0, np.pi, last - first)
        total[first:last] = gain * np.sin(place) ** power
    return total


def draw_formants(speaker, language, syllables, frames, rng):
    """Draws a vowel for each syllable and moves between them: [frames, 4]."""
    vowels = np.array(language.vowels)
    targets = vowels[rng.integers(len(vowels), size=len(syllables))]
    middles = syllables[:, 1:].mean(axis=1)
    return speaker.formants * np.stack(
        [np.interp(frames, middles, row) for row in targets.T], axis=1
    )


def draw_consonants(voiced, language, syllables, time, rng):
    """Draws a burst of hiss at the beginning of each syllable."""
    hiss = scipy.signal.lfilter([1, -0.9], [1], rng.normal(size=len(time)))
    bursts = rng.uniform(*language.bursts, len(syllables)) * voiced.std()
    return hiss * envelope(syllables[:, :2], bursts, time, 2)


def synthesize(
    emotion_weights,
    speaker,
    rng,
    duration=None,
    sample_rate=SAMPLE_RATE,
    language=FIRST_LANGUAGE,
):
    """Says a short random sequence of syllables with an emotion.

    Arguments
    ---------
    emotion_weights : dict
        Emotion (a key of PROSODY) -> weight of its prosody in the blend.
    speaker : Speaker
        Who speaks.
    rng : numpy.random.Generator
        The source of chance: the same state gives the same samples.
    duration : float
        Seconds, 0.2 or more; drawn from 0.8 to 2.0 when None.
    sample_rate : int
        Samples per second, 10000 or more; 12000 for SECOND_LANGUAGE.
    language : Language
        Which syllables are said, and how.

    Returns
    -------
    numpy.ndarray
        float32 samples between -1 and 1.

    Example
    -------
    >>> rng = np.random.default_rng(0)
    >>> speaker = draw_speaker("a", "M", rng)
    >>> synthesize({"ang": 0.7, "neu": 0.3}, speaker, rng, duration=0.5).shape
    (8000,)
    """
    duration = rng.uniform(0.8, 2.0) if duration is None else duration
    time = np.arange(int(duration * sample_rate)) / sample_rate
    prosody = draw_prosody(emotion_weights, speaker, language, rng)
    syllables = draw_syllables(prosody, language, duration, rng)

    f0 = pitch_contour(prosody, speaker, language, syllables, time, rng)
    source = glottal_source(f0, prosody, speaker.breath, sample_rate, rng)
    loudness = 10 ** (rng.normal(0, 1.5, len(syllables)) / 20)
    voiced = source * envelope(syllables[:, 1:], loudness, time, 0.6)
    formants = draw_formants(
        speaker, language, syllables, time[:: sample_rate // 100], rng
    )
    voiced = formant_filter(voiced, formants, sample_rate)
    speech = voiced + draw_consonants(voiced, language, syllables, time, rng)
    level = 10 ** ((-27 + speaker.level + prosody.energy) / 20)
    speech *= level / (speech.std() + 1e-9)
    speech += 0.0005 * rng.normal(size=len(time))
    return (speech * min(1, 0.95 / np.abs(speech).max())).astype(np.float32)
