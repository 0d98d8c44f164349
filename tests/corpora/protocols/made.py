"""A made corpus of two speakers a session, and what is counted in it."""

import collections
import random

LABELS = ["ang", "hap", "neu", "sad"]
VOTES = [
    [["x"], ["x"], ["x"]],
    [["x"], ["x"], ["x", "fru"]],
    [["x"], ["x"], ["fru"]],
    [["x"], ["fru"], ["oth"]],
]


def corpus(n_sessions=5, each=20):
    """Two speakers a session, `each` utterances of a speaker."""
    annotation = {}
    for session in range(1, n_sessions + 1):
        for sex in "FM":
            for number in range(each):
                label = LABELS[number % 4]
                votes = VOTES[(number // 4 + session) % 4]
                annotation[f"Ses{session:02}_{sex}{number:03}"] = {
                    "wav": f"{session}{sex}{number}.wav",
                    "emotion": label,
                    "speaker": f"Ses{session:02}_{sex}",
                    "session": session,
                    "votes": [
                        [label if word == "x" else word for word in words]
                        for words in votes
                    ],
                }
    return annotation


def in_pieces(annotation):
    """Each utterance split in two."""
    return {
        f"{key}-{number}": {**entry, "utterance": key}
        for key, entry in annotation.items()
        for number in (1, 2)
    }


def values(annotation, key):
    """The set of a key's values."""
    return {entry[key] for entry in annotation.values()}


def counts(annotation):
    """How many utterances each class has."""
    return collections.Counter(
        entry["emotion"] for entry in annotation.values()
    )


def shuffled(annotation):
    """The same in another order."""
    keys = list(annotation)
    random.Random(3).shuffle(keys)
    return {key: annotation[key] for key in keys}
