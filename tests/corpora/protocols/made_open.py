"""Made corpora of open protocols: who says what, without audio."""

import itertools

from speechbrain_ser.corpora import emodb, nemo, ravdess

FOUR = ("anger", "happiness", "neutral", "sadness")
PERCENT = (1.0, 0.95, 0.9, 0.85, 0.8)


def made_emodb():
    """Ten speakers, four classes, with agreements."""
    return {
        f"{speaker}a{number:02}{emotion[0].upper()}a": {
            "wav": f"{speaker}{number}{emotion}.wav",
            "emotion": emotion,
            "speaker": speaker,
            "gender": gender,
            "agreement": PERCENT[(number + place) % 5],
        }
        for place, (speaker, gender) in enumerate(emodb.SPEAKERS.items())
        for number in range(10)
        for emotion in FOUR
    }


def made_ravdess(labels=FOUR):
    """24 actors, as in the release."""
    made = {}
    for emotion, strength, sentence, repetition, actor in itertools.product(
        ravdess.EMOTIONS, (1, 2), (1, 2), (1, 2), range(1, 25)
    ):
        name = f"03-01-{emotion}-0{strength}-0{sentence}-0{repetition}"
        key, entry = ravdess._parse(f"{name}-{actor:02}")
        unsaid = entry["emotion"] == "neutral" and strength == 2
        if entry["emotion"] in labels and not unsaid:
            made[key] = entry | {"wav": f"{key}.wav"}
    return made


def made_nemo():
    """Nine speakers, four classes."""
    return {
        f"{speaker}_{emotion}_{number}": {
            "wav": f"{speaker}_{emotion}_{number}.wav",
            "emotion": emotion,
            "speaker": speaker,
            "gender": gender,
        }
        for speaker, gender in nemo.GENDERS.items()
        for emotion in FOUR
        for number in range(6)
    }


def made_csv():
    """Seven speakers, with splits, votes and a column of one's own."""
    split = dict(zip("ABCDEFG", ["train"] * 4 + ["valid", "test", "test"]))
    return {
        f"{speaker}/{number}.wav": {
            "wav": f"/{speaker}/{number}.wav",
            "emotion": FOUR[number % 4],
            "speaker": speaker,
            "gender": "FM"[speaker in "ACG"],
            "split": split[speaker],
            "votes": [[FOUR[number % 4]], [FOUR[number // 6]]],
            "columns": {"sure": "yes" if number % 3 else "no"},
        }
        for speaker in split
        for number in range(12)
    }


MADE = {
    "emodb": made_emodb,
    "ravdess": made_ravdess,
    "nemo": made_nemo,
    "csv": made_csv,
}


def made_for(name):
    """The corpus of a protocol's name."""
    if name == "ravdess-emobox@1":
        return made_ravdess(tuple(ravdess.COUNTS))
    return MADE[name.split("-")[0]]()
