"""The embedded mini corpora: a synthetic voice in a licensed corpus's layout.

They let every recipe run, and learn something, where no licensed corpus is at
hand.
"""

import os
from collections import Counter
from typing import NamedTuple

import numpy as np

from speechbrain_ser.corpora.mini.tree import (
    make_tree,
    write_decoy,
    write_sound,
    write_text,
)
from speechbrain_ser.corpora.mini.voice import (
    SAMPLE_RATE,
    blend,
    draw_blend,
    draw_speaker,
    synthesize,
)
from speechbrain_ser.utils.settings import Whole, checked

VERSION = 1  # A part of the tree's name: raise it when any byte would change.

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


def draw_label(index):
    """Gives the label of a speaker's utterance, and whether it is precise.

    Nine of twenty utterances are: one emotion, of weight 1.
    """
    label = "fru" if index % 40 == 39 else CYCLE[index % len(CYCLE)]
    return label, index % 2 == 0 and index % 20 != 18


def draw_weights(index, speaker, rng):
    """Draws the emotions of a speaker's utterance; the first is its label."""
    label, precise = draw_label(index)
    return blended(label, precise, rng)


def blended(label, precise, rng):
    """Draws a label's blend with a neighbour, unless it is precise."""
    if precise:
        return {label: 1.0}
    return draw_blend(label, NEIGHBOURS, 0.55, 0.75, rng)


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


def say(weights, speaker, rng):
    """Says an utterance of the first version."""
    return synthesize(weights, speaker, rng)


class Way(NamedTuple):
    """How the utterances of a version come about, each given its dice last."""

    weights: callable  # of the index of a speaker's utterance, and the speaker
    ballots: callable  # of the weights
    sound: callable  # of the weights and the speaker


FIRST_WAY = Way(draw_weights, draw_ballots, say)


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
            write_sound(samples, waves, f"{turn}.wav")
            end = now + len(samples) / SAMPLE_RATE
            turns.append(Turn(turn, gender, now, end, weights, ballots))
            now = end + rng.uniform(-0.3, 1.2)
    turns.sort(key=lambda turn: turn.start)
    dialog = os.path.join(root, "dialog")
    write_evaluation(os.path.join(dialog, "EmoEvaluation"), name, turns, rng)
    texts = os.path.join(dialog, "transcriptions")
    write_transcription(texts, name, turns, rng)


def write_session(root, session, seed, utterances_per_speaker, way=FIRST_WAY):
    """Writes Session1 .. Session5 of the mini corpus, one a call."""
    dialogs = dialog_names(session)[:utterances_per_speaker]
    shares = [{"F": [], "M": []} for _ in dialogs]
    for who, gender in enumerate("FM"):
        rng = np.random.default_rng([seed, session, who, 0])
        speaker = draw_speaker(f"Ses{session:02d}{gender}", gender, rng)
        order = rng.permutation(utterances_per_speaker)
        for place, index in enumerate(order):
            rng = np.random.default_rng([seed, session, who, index + 1])
            weights = way.weights(index, speaker, rng)
            ballots = way.ballots(weights, rng)
            samples = way.sound(weights, speaker, rng)
            share = shares[place % len(dialogs)][gender]
            share.append((weights, ballots, samples))
    folder = os.path.join(root, f"Session{session}")
    for place, (name, share) in enumerate(zip(dialogs, shares)):
        rng = np.random.default_rng([seed, session, 2, place])
        write_dialog(folder, name, share, rng)
    first = dialogs[0]
    write_decoy(folder, "dialog", "EmoEvaluation", f"{first}.txt")
    write_decoy(folder, "sentences", "wav", first, f"{first}_F000.wav")


@checked
def mini_iemocap(
    folder=None, seed: Whole(0) = 0, utterances_per_speaker: Whole(1) = 40
):
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

    return make_release(
        VERSION, FIRST_WAY, folder, seed, utterances_per_speaker
    )


def make_release(version, way, folder, seed, utterances_per_speaker):
    """Makes a version of the corpus, if it is not there; see `mini_iemocap`."""

    def fill(root):
        """Writes the sessions."""
        for session in range(1, 6):
            write_session(root, session, seed, utterances_per_speaker, way)

    name = f"mini_iemocap-v{version}-seed{seed}-{utterances_per_speaker}"
    return make_tree(name, "IEMOCAP_full_release", README, fill, folder)
