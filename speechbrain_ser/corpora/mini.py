"""The embedded mini corpus: a synthetic voice, laid out as IEMOCAP is.

The voice is a source-filter synthesis: glottal pulses with jitter, shimmer and
breath go through moving formants, and the emotion sets the prosody. It says
nothing and proves nothing about people; it lets every recipe run, and learn
something, where no licensed corpus is at hand.
"""

import os
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import soundfile
from scipy.signal import lfilter, sosfilt
from speechbrain.utils.logger import get_logger

from speechbrain_ser.errors import InputError

logger = get_logger(__name__)

VERSION = 1  # A part of the tree's name: raise it when any byte would change.
SAMPLE_RATE = 16000

# --- The voice --------------------------------------------------------------


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
}
# Standard deviation from one utterance to the next.
SPREAD = Prosody(1.1, 0.5, 1.5, 1.5, 0.5, 0.05, 0.06, 0.003)
LOWEST = Prosody(-9.0, 0.3, -6.0, -12.0, 2.0, 0.0, 0.0, 0.003)
HIGHEST = Prosody(12.0, 7.0, 8.0, 12.0, 8.0, 0.6, 0.92, 0.05)

# The first four formants of an adult man's vowels, in Hz.
VOWELS = np.array(
    [
        (730, 1090, 2440, 3400),
        (530, 1840, 2480, 3500),
        (270, 2290, 3010, 3600),
        (570, 840, 2410, 3300),
        (300, 870, 2240, 3300),
        (500, 1500, 2500, 3500),
    ]
)
BANDWIDTHS = np.array([70.0, 90.0, 130.0, 200.0])


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


def draw_prosody(emotion_weights, speaker, rng):
    """Draws the prosody of one utterance: the emotions' blend, and chance."""
    neutral = np.array(PROSODY["neu"])
    drawn = blend(PROSODY, emotion_weights)
    drawn = neutral + speaker.expression * (drawn - neutral)
    drawn = drawn + rng.normal(size=len(drawn)) * SPREAD
    drawn = Prosody(*np.clip(drawn, LOWEST, HIGHEST))
    tilt = np.clip(drawn.tilt + speaker.tilt, LOWEST.tilt, HIGHEST.tilt)
    return drawn._replace(rate=drawn.rate * speaker.rate, tilt=tilt)


def draw_syllables(prosody, duration, rng):
    """Draws begin, vowel onset and end of each syllable: seconds, [n, 3]."""
    rows, now = [], 0.0
    while not rows or now < duration:
        length = rng.uniform(0.75, 1.3) / prosody.rate
        consonant = min(0.07, 0.35 * length) * (rng.random() < 0.7)
        rows.append((now, now + consonant, now + length))
        now += length
        if rng.random() < prosody.pause:
            now += rng.uniform(0.1, 0.3)
    edge = 0.03
    return edge + np.array(rows) * (duration - 2 * edge) / rows[-1][2]


def pitch_contour(prosody, speaker, syllables, time, rng):
    """Draws f0 in Hz at each `time`: a fall, and an accent on each syllable."""
    accents = prosody.span * rng.normal(size=len(syllables))
    semitones = np.interp(time, syllables[:, 1:].mean(axis=1), accents)
    semitones += prosody.pitch + prosody.fall * (0.5 - time / time[-1])
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
    return lfilter([1 - prosody.tilt], [1, -prosody.tilt], source)


def formant_filter(source, formants, sample_rate):
    """Filters with resonators, moved every 10 ms by `formants`, [frames, 4]."""
    radius = np.exp(-np.pi * BANDWIDTHS / sample_rate)
    sections = np.zeros(formants.shape + (6,))
    sections[..., 3] = 1
    sections[..., 4] = -2 * radius * np.cos(2 * np.pi * formants / sample_rate)
    sections[..., 5] = radius**2
    sections[..., 0] = sections[..., 3:].sum(axis=-1)
    state = np.zeros((formants.shape[1], 2))
    hop = sample_rate // 100
    output = np.empty_like(source)
    for frame, here in enumerate(range(0, len(source), hop)):
        output[here : here + hop], state = sosfilt(
            sections[frame], source[here : here + hop], zi=state
        )
    return output


def envelope(bounds, gains, time, power):
    """Makes one raised-sine hump of each gain between each pair of bounds."""
    total = np.zeros_like(time)
    for (begin, end), gain in zip(bounds, gains):
        first, last = np.searchsorted(time, (begin, end))
        place = np.linspace(0, np.pi, last - first)
        total[first:last] = gain * np.sin(place) ** power
    return total


def synthesize(
    emotion_weights, speaker, rng, duration=None, sample_rate=SAMPLE_RATE
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
        Samples per second, 10000 or more.

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
    prosody = draw_prosody(emotion_weights, speaker, rng)
    syllables = draw_syllables(prosody, duration, rng)

    f0 = pitch_contour(prosody, speaker, syllables, time, rng)
    source = glottal_source(f0, prosody, speaker.breath, sample_rate, rng)
    loudness = 10 ** (rng.normal(0, 1.5, len(syllables)) / 20)
    voiced = source * envelope(syllables[:, 1:], loudness, time, 0.6)
    targets = VOWELS[rng.integers(len(VOWELS), size=len(syllables))]
    middles = syllables[:, 1:].mean(axis=1)
    frames = time[:: sample_rate // 100]
    formants = speaker.formants * np.stack(
        [np.interp(frames, middles, row) for row in targets.T], axis=1
    )
    voiced = formant_filter(voiced, formants, sample_rate)

    hiss = lfilter([1, -0.9], [1], rng.normal(size=len(time)))
    bursts = rng.uniform(0.1, 0.4, len(syllables)) * voiced.std()
    speech = voiced + hiss * envelope(syllables[:, :2], bursts, time, 2)
    level = 10 ** ((-27 + speaker.level + prosody.energy) / 20)
    speech *= level / (speech.std() + 1e-9)
    speech += 0.0005 * rng.normal(size=len(time))
    return (speech * min(1, 0.95 / np.abs(speech).max())).astype(np.float32)


# --- The layout of IEMOCAP --------------------------------------------------

WORDS = {
    "ang": "Anger",
    "hap": "Happiness",
    "exc": "Excited",
    "sad": "Sadness",
    "neu": "Neutral",
    "fru": "Frustration",
    "sur": "Surprise",
    "oth": "Other",
}
# What each emotion is blended with, or taken for.
NEIGHBOURS = {
    "ang": ("hap", "neu", "fru"),
    "hap": ("neu", "ang"),
    "exc": ("ang", "neu"),
    "sad": ("neu", "fru"),
    "neu": ("sad", "hap", "ang"),
    "fru": ("ang", "neu"),
}
# Valence, activation and dominance, from 1 to 5.
ATTRIBUTES = {
    "ang": (1.6, 4.2, 4.2),
    "hap": (4.2, 3.5, 3.3),
    "exc": (4.3, 4.3, 3.6),
    "sad": (1.9, 1.9, 2.2),
    "neu": (3.0, 2.5, 2.8),
    "fru": (2.0, 3.3, 3.2),
}
CYCLE = ("ang", "hap", "neu", "sad", "neu", "ang", "exc", "neu", "sad")
TEXTS = (
    "Did you find the keys?",
    "We have to leave at six.",
    "It is on the other table, I think.",
    "You said so yesterday, and the day before.",
    "Well.",
    "He never came back for it.",
)
README = """\
This is NOT IEMOCAP. It is the mini corpus of speechbrain_ser: a synthetic voice
in the layout of IEMOCAP_full_release. Speakers, emotions, annotators and texts
are made up; the texts are not what the voice says. Numbers got here tell that
the code runs, never how well a method does on people.
"""
# An empty AppleDouble file, as macOS leaves beside the files of an archive.
APPLE_DOUBLE = bytes.fromhex("0005160700020000") + bytes(74)


class Turn(NamedTuple):
    """One utterance in its dialog."""

    name: str
    gender: str
    start: float
    end: float
    weights: dict
    ballots: list


def majority(ballots):
    """Gives the one label that most annotators, at least two, name; else xxx.

    Arguments
    ---------
    ballots : list of list of str
        The labels of each annotator.

    Returns
    -------
    str

    Example
    -------
    >>> majority([["ang"], ["neu"], ["ang", "fru"]])
    'ang'
    >>> majority([["ang"], ["neu"], ["fru"]])
    'xxx'
    """
    counts = Counter(label for ballot in ballots for label in ballot)
    (label, most), *rest = counts.most_common()
    alone = all(count < most for _, count in rest)
    return label if most > 1 and alone else "xxx"


def draw_weights(index, rng):
    """Draws the emotions of a speaker's utterance; the first is its label.

    Nine of twenty utterances are precise: one emotion, of weight 1.
    """
    label = "fru" if index % 40 == 39 else CYCLE[index % len(CYCLE)]
    if index % 2 == 0 and index % 20 != 18:
        return {label: 1.0}
    weight = rng.uniform(0.55, 0.75)
    return {label: weight, str(rng.choice(NEIGHBOURS[label])): 1 - weight}


def draw_ballots(weights, rng):
    """Draws what three annotators say.

    They agree on nearly every precise utterance, and never all on a blend, of
    which the majority is the label or, for a few, there is none.
    """
    label, *others = weights
    if not others:
        missed = rng.random() < 0.05
        odd = str(rng.choice(NEIGHBOURS[label])) if missed else label
        return [[label], [label], [odd]]
    names = [label, *others, "sur", "oth"]
    weight = weights[label]
    chances = np.array(
        [weight, 0.94 - 0.94 * weight, *2 * [0.03 - 0.03 * weight]]
    )
    while True:
        ballots = [[str(rng.choice(names, p=chances))] for _ in range(3)]
        if rng.random() < 0.12 and ballots[0] != others:
            ballots[0] += others
        agreed = all(ballot == [label] for ballot in ballots)
        if not agreed and majority(ballots) in (label, "xxx"):
            return ballots


def draw_attributes(weights, rng):
    """Draws one annotator's valence, activation and dominance, as text."""
    drawn = np.rint(blend(ATTRIBUTES, weights) + rng.normal(0, 0.6, 3))
    drawn = np.clip(drawn, 1, 5).astype(int)
    return [*map(str, drawn[:2]), "" if rng.random() < 0.005 else str(drawn[2])]


def dialog_names(session):
    """Gives the eight dialogs of a session; two sessions have an odd one."""
    kinds = ("impro01", "script01_1", "impro04", "script02_2")
    names = [f"Ses{session:02d}{x}_{kind}" for kind in kinds for x in "FM"]
    odd = {
        "Ses03M_impro04": "Ses03M_impro05a",
        "Ses05M_script02_2": "Ses05M_script01_1b",
    }
    return [odd.get(name, name) for name in names]


def evaluation_block(turn, raters, rng):
    """Writes the block of a turn in the file of EmoEvaluation."""
    three, two, myself = raters
    categories = list(zip(three, turn.ballots))
    attributes = [(who, draw_attributes(turn.weights, rng)) for who in two]
    means = []
    for column in zip(*(values for _, values in attributes)):
        given = [int(value) for value in column if value]
        means.append(f"{np.mean(given or [0]):.4f}")
    if myself:
        me = turn.gender + turn.name[4]
        categories.append((me, [next(iter(turn.weights))]))
        attributes.append((me, draw_attributes(turn.weights, rng)))
    lines = [
        f"[{turn.start:.4f} - {turn.end:.4f}]\t{turn.name}\t"
        f"{majority(turn.ballots)}\t[{', '.join(means)}]"
    ]
    for who, ballot in categories:
        words = " ".join(f"{WORDS[label]};" for label in ballot)
        comment = "tired, or bored" if rng.random() < 0.05 else ""
        lines.append(f"C-{who}:\t{words}\t({comment})")
    for who, (val, act, dom) in attributes:
        lines.append(f"A-{who}:\tval {val}; act {act}; dom  {dom};\t()")
    return "\n".join(lines) + "\n\n"


def write_text(text, *path):
    """Writes a text file, and makes its folder."""
    os.makedirs(os.path.join(*path[:-1]), exist_ok=True)
    with open(os.path.join(*path), "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def write_evaluation(folder, name, turns, rng):
    """Writes what the annotators say of a dialog: all of F, then all of M."""
    three, two = (
        [f"E{k + 1}" for k in sorted(rng.choice(4, count, replace=False))]
        for count in (3, 2)
    )
    raters = three, two, "impro" in name and name < "Ses04"
    turns = sorted(turns, key=lambda turn: (turn.gender, turn.start))
    blocks = [evaluation_block(turn, raters, rng) for turn in turns]
    header = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
    write_text(header + "".join(blocks), folder, f"{name}.txt")
    for index, who in enumerate(three):
        text = ""
        for turn in turns:
            words = [f":{WORDS[label]}; " for label in turn.ballots[index]]
            text += f"{turn.name} {''.join(words)}()\n"
        text = text.replace(":Neutral;", ":Neutral state;")
        file = f"{name}_{who.lower()}_cat.txt"
        write_text(text, folder, "Categorical", file)


def write_transcription(folder, name, turns, rng):
    """Writes the texts of a dialog; some lines are no utterance's."""
    lines = [
        f"{turn.name} [{turn.start:08.4f}-{turn.end:08.4f}]: "
        f"{rng.choice(TEXTS)}\n"
        for turn in turns
    ]
    if "script" in name:
        span = f"[{turns[0].end:08.4f}-{turns[0].end + 0.2:08.4f}]"
        lines[1:1] = [f"{name}_FXX0 {span}: Mm-hmm.\n", "M: [breathing]\n"]
    write_text("".join(lines), folder, f"{name}.txt")


def write_dialog(root, name, utterances, rng):
    """Writes a dialog.

    Arguments
    ---------
    root : str
        The folder of its session.
    name : str
        The dialog's name.
    utterances : dict
        Gender -> list of (weights, ballots, samples).
    rng : numpy.random.Generator
        The source of chance.
    """
    waves = os.path.join(root, "sentences", "wav", name)
    os.makedirs(waves)
    count = max(map(len, utterances.values()))
    order = [(k, x) for k in range(count) for x in "FM"]
    turns, now = [], rng.uniform(4, 9)
    for k, gender in order:
        if k < len(utterances[gender]):
            weights, ballots, samples = utterances[gender][k]
            turn = f"{name}_{gender}{k:03d}"
            path = os.path.join(waves, f"{turn}.wav")
            soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16")
            end = now + len(samples) / SAMPLE_RATE
            turns.append(Turn(turn, gender, now, end, weights, ballots))
            now = end + rng.uniform(-0.3, 1.2)
    turns.sort(key=lambda turn: turn.start)
    dialog = os.path.join(root, "dialog")
    write_evaluation(os.path.join(dialog, "EmoEvaluation"), name, turns, rng)
    texts = os.path.join(dialog, "transcriptions")
    write_transcription(texts, name, turns, rng)


def write_session(root, session, seed, utterances_per_speaker):
    """Writes Session1 .. Session5 of the mini corpus, one a call."""
    dialogs = dialog_names(session)[:utterances_per_speaker]
    shares = [{"F": [], "M": []} for _ in dialogs]
    for who, gender in enumerate("FM"):
        rng = np.random.default_rng([seed, session, who, 0])
        speaker = draw_speaker(f"Ses{session:02d}{gender}", gender, rng)
        order = rng.permutation(utterances_per_speaker)
        for place, index in enumerate(order):
            rng = np.random.default_rng([seed, session, who, index + 1])
            weights = draw_weights(index, rng)
            ballots = draw_ballots(weights, rng)
            samples = synthesize(weights, speaker, rng)
            share = shares[place % len(dialogs)][gender]
            share.append((weights, ballots, samples))
    folder = os.path.join(root, f"Session{session}")
    for place, (name, share) in enumerate(zip(dialogs, shares)):
        rng = np.random.default_rng([seed, session, 2, place])
        write_dialog(folder, name, share, rng)
    for decoy in (
        f"dialog/EmoEvaluation/._{dialogs[0]}.txt",
        f"sentences/wav/{dialogs[0]}/._{dialogs[0]}_F000.wav",
    ):
        with open(os.path.join(folder, decoy), "wb") as file:
            file.write(APPLE_DOUBLE)


def cache_folder():
    """Gives `$SPEECHBRAIN_SER_CACHE`, or else `~/.cache/speechbrain_ser`."""
    folder = os.environ.get("SPEECHBRAIN_SER_CACHE")
    return os.path.expanduser(folder or "~/.cache/speechbrain_ser")


def make_folder(path, fill):
    """Makes a folder that is whole or not there, whoever else makes it too.

    Arguments
    ---------
    path : str
        The folder; its parents are made when missing.
    fill : callable
        Called with the path of an empty folder, to write what belongs in it.
    """
    parent, name = os.path.split(os.path.abspath(path))
    try:
        os.makedirs(parent, exist_ok=True)
        beside = tempfile.mkdtemp(prefix=f".{name}-", dir=parent)
    except OSError as error:
        raise InputError(
            f"the folder {parent} cannot be written ({error.strerror}): set "
            "SPEECHBRAIN_SER_CACHE to one that can."
        ) from error
    try:
        # mkdtemp makes private folders; `whole` gets the user's own mode.
        whole = os.path.join(beside, name)
        os.mkdir(whole)
        fill(whole)
        os.rename(whole, path)
    except OSError:
        if not os.path.isdir(path):
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def mini_iemocap(folder=None, seed=0, utterances_per_speaker=40):
    """Makes the mini corpus, if it is not there yet.

    It has ten speakers in five sessions, as IEMOCAP has. About half of the
    utterances are precise, the others are blends of two emotions.

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
    >>> path = mini_iemocap(getfixture("tmp_path"), utterances_per_speaker=1)
    >>> sorted(os.listdir(path))[:2]
    ['README.txt', 'Session1']
    """
    if seed < 0 or utterances_per_speaker < 1:
        raise InputError(
            "the mini corpus needs a seed of 0 or more and 1 or more "
            f"utterances per speaker, not {seed} and {utterances_per_speaker}."
        )
    name = f"mini_iemocap-v{VERSION}-seed{seed}-{utterances_per_speaker}"
    path = os.path.join(folder or cache_folder(), name)
    release = os.path.join(path, "IEMOCAP_full_release")
    if os.path.isdir(release):
        return release

    def fill(whole):
        """Writes the tree."""
        root = os.path.join(whole, "IEMOCAP_full_release")
        write_text(README, root, "README.txt")
        for session in range(1, 6):
            write_session(root, session, seed, utterances_per_speaker)

    logger.info("Making the mini corpus in %s.", path)
    make_folder(path, fill)
    return release
