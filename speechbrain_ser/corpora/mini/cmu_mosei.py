"""The embedded mini corpus in CMU-MOSEI's layout: people of many videos.

They speak as those of `mini.mini_iemocap` do, so that what was learned there
can be tried here.
"""

import itertools
import json
import os

import h5py
import numpy as np

from speechbrain_ser.corpora.mini.tree import (
    make_tree,
    write_decoy,
    write_sound,
)
from speechbrain_ser.corpora.mini.voice import (
    SAMPLE_RATE,
    blend,
    draw_speaker,
    synthesize,
)
from speechbrain_ser.utils.settings import Whole, checked

VERSION = 1  # A part of the tree's name: raise it when any byte would change.

# The layout; the columns in their order.
LABELS_FILE = "CMU_MOSEI_Labels.csd"
RATINGS = ("sentiment", "happy", "sad", "anger", "surprise", "disgust", "fear")
# As long as the ids of the release, which begin and end as oddly; the last
# ones there are plain numbers.
IDS = ("-mini_mos{:02d}", "_mini-mos{:02d}", "mini_mos{:02d}_", "{:06d}")
# What an annotator rates, in the order of RATINGS.
TARGETS = {
    "ang": (-1.7, 0.0, 0.0, 2.2, 0.0, 0.7, 0.0),
    "hap": (1.7, 2.2, 0.0, 0.0, 0.0, 0.0, 0.0),
    "exc": (2.0, 2.4, 0.0, 0.0, 0.9, 0.0, 0.0),
    "sad": (-1.3, 0.0, 2.2, 0.0, 0.0, 0.0, 0.0),
    "neu": (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "wor": (-0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 2.2),
    "sur": (0.4, 0.0, 0.0, 0.0, 2.2, 0.0, 0.0),
}
# Of one segment after the other, over all videos.
CYCLE = (
    {"neu": 1.0},
    {"ang": 1.0},
    {"hap": 1.0},
    {"sad": 1.0},
    {"exc": 1.0},
    {"ang": 0.6, "sad": 0.4},
    {"neu": 1.0},
    {"sad": 1.0},
    {"wor": 1.0},
    {"ang": 1.0},
    {"neu": 1.0},
    {"hap": 1.0},
    {"sad": 0.65, "hap": 0.35},
    {"neu": 1.0},
    {"sur": 1.0},
    {"sad": 1.0},
    {"ang": 1.0},
)
ANNOTATORS = 3
README = """\
This is NOT CMU-MOSEI. It is a mini corpus of speechbrain_ser: a synthetic voice
in the layout of CMU-MOSEI; speakers, emotions, ratings and the ids of the
videos are made up. Numbers got here tell that the code runs, never how well a
method does on people.
"""


def draw_ratings(weights, rng):
    """Draws the mean of what three annotators say of a segment.

    Arguments
    ---------
    weights : dict
        Emotion (a key of TARGETS) -> its share.
    rng : numpy.random.Generator
        The source of chance.

    Returns
    -------
    numpy.ndarray
        [7], float32, in thirds; an emotion that is not there stays at zero.

    Example
    -------
    >>> draw_ratings({"neu": 1.0}, np.random.default_rng(0))[1:]
    array([0., 0., 0., 0., 0., 0.], dtype=float32)
    """
    target = blend(TARGETS, weights)
    spread = np.where(target == 0, 0, 0.5)
    spread[0] = 0.5  # Nobody is sure of a sentiment.
    said = target + spread * rng.normal(size=(ANNOTATORS, len(target)))
    said = np.clip(np.rint(said), [-3, *[0] * 6], 3)
    # The sum has no minus zero.
    return ((said.sum(axis=0) + 0.0) / ANNOTATORS).astype(np.float32)


def draw_video(speaker, segments, begins_early, ends_late, rng):
    """Draws the sound of a video and when its segments begin and end.

    Arguments
    ---------
    speaker : Speaker
        Who speaks.
    segments : list of dict
        The emotions of each segment.
    begins_early : bool
        Whether the first one begins before 0.
    ends_late : bool
        Whether the last one ends after the sound.
    rng : numpy.random.Generator
        The source of chance.

    Returns
    -------
    samples : numpy.ndarray
        The whole recording.
    intervals : numpy.ndarray
        [segments, 2]: seconds; neighbours may overlap.
    """
    pieces, intervals, now = [], [], 0.0
    for index, weights in enumerate(segments):
        early = begins_early and index == 0
        gap = 0.0 if early else round(rng.uniform(0.05, 0.6), 2)
        before, after = rng.uniform(0.02, 0.15, 2)
        speech = synthesize(weights, speaker, rng, rng.uniform(1.0, 2.6))
        pieces += [np.zeros(round(gap * SAMPLE_RATE)), speech]
        now += gap
        start = now - before
        now += len(speech) / SAMPLE_RATE
        intervals.append((start if early else max(start, 0.0), now + after))
    pieces.append(np.zeros(round(0.2 * SAMPLE_RATE)))
    if ends_late:
        intervals[-1] = (intervals[-1][0], now + 0.5)
    samples = np.concatenate(pieces)
    samples = samples + 0.0005 * rng.normal(size=len(samples))
    # The release's times have three decimals.
    return samples, np.round(intervals, 3)


def write_labels(path, videos):
    """Writes the file of labels, as the release's software does.

    Arguments
    ---------
    path : str
        The file to write.
    videos : dict
        Id -> (ratings, intervals).
    """
    metadata = {
        "root name": "All Labels",
        "computational sequence description": "made up; NOT CMU-MOSEI",
        "dimension names": RATINGS,
        "computational sequence version": "1.0",
        "alignment compatible": "",
        "dataset name": "mini CMU-MOSEI",
        "dataset version": "1.0",
        "creator": "speechbrain_ser",
        "contact": "",
        "featureset bib citation": "",
        "dataset bib citation": "",
    }
    with h5py.File(path, "w") as file:
        root = file.create_group("All Labels")
        data = root.create_group("data")
        for video, (ratings, intervals) in videos.items():
            group = data.create_group(video)
            group.create_dataset("features", data=ratings)
            group.create_dataset("intervals", data=intervals)
        folder = root.create_group("metadata")
        for key, value in metadata.items():
            entry = folder.create_dataset(key, (1,), h5py.string_dtype())
            entry[0] = json.dumps(value)


@checked
def mini_mosei(folder=None, seed: Whole(0) = 0, videos: Whole(1) = 12):
    """Makes the mini corpus in CMU-MOSEI's layout, if it is not there yet.

    Each video is of another speaker and has four or five segments, in no
    order of time; one more has labels but no sound. One segment begins before
    its recording, and one ends after it.

    Arguments
    ---------
    folder : str
        Where to make it; when None, `$SPEECHBRAIN_SER_CACHE` or
        `~/.cache/speechbrain_ser`.
    seed : int
        The same seed gives the same bytes.
    videos : int
        Those with sound.

    Returns
    -------
    str
        The path of its folder `CMU_MOSEI`.

    Example
    -------
    >>> path = mini_mosei(getfixture("tmp_path"), videos=1)
    >>> sorted(os.listdir(path))[1:]
    ['CMU_MOSEI_Labels.csd', 'README.txt', 'Raw']
    """
    name = f"mini_mosei-v{VERSION}-seed{seed}-{videos}"
    return make_tree(
        name,
        "CMU_MOSEI",
        README,
        lambda root: write_videos(root, seed, videos),
        folder,
    )


def write_videos(root, seed, videos):
    """Writes the recordings and the file of labels.

    Arguments
    ---------
    root : str
        The folder of the corpus.
    seed, videos : int
        See `mini_mosei`.
    """
    sound = os.path.join(root, "Raw", "Audio", "Full", "WAV_16000")
    os.makedirs(sound)
    labels, emotions = {}, itertools.cycle(CYCLE)
    for place in range(videos):
        rng = np.random.default_rng([seed, 4000 + place])
        video = IDS[place % len(IDS)].format(place)
        speaker = draw_speaker(video, "FM"[place % 2], rng)
        segments = [*itertools.islice(emotions, 4 + place % 2)]
        samples, intervals = draw_video(
            speaker, segments, place == 0, place == videos - 1, rng
        )
        write_sound(samples, sound, f"{video}.wav")
        ratings = np.stack([draw_ratings(each, rng) for each in segments])
        order = rng.permutation(len(segments))
        labels[video] = ratings[order], intervals[order]
    labels["mini_silent"] = tuple(values[:3] for values in labels[video])
    write_labels(os.path.join(root, LABELS_FILE), labels)
    write_decoy(root, LABELS_FILE)
    write_decoy(sound, f"{video}.wav")
