"""Reads the speech of RAVDESS, English, wherever below a folder its files lie.

Livingstone and Russo, "The Ryerson Audio-Visual Database of Emotional Speech
and Song (RAVDESS)", PLoS ONE 13(5), 2018: 24 actors, two sentences, said twice,
in eight emotions and all but neutral in two intensities.
"""

import re

from speechbrain_ser.corpora.recordings import Recordings, read_recordings
from speechbrain_ser.corpora.release import Classes
from speechbrain_ser.utils.settings import checked

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happiness",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
INTENSITIES = {"01": "normal", "02": "strong"}
# Of the release's 1440: 24 actors, 2 sentences, 2 repetitions, 2 intensities.
COUNTS = {
    emotion: 96 if emotion == "neutral" else 192
    for emotion in EMOTIONS.values()
}
# Modality, vocal channel, emotion, intensity, statement, repetition, actor.
_NAME = re.compile(
    r"(0[123])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1\d|2[0-4])"
)
_SOUND_ALONE, _SPEECH = "03", "01"


def _parse(name):
    """The id and the entry of a file's name."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    modality, channel, emotion, intensity, sentence, repetition, actor = (
        match.groups()
    )
    if channel != _SPEECH:
        return name, "songs"
    if modality != _SOUND_ALONE:
        return name, "recordings that are the sound of a video"
    return name, {
        "emotion": EMOTIONS[emotion],
        "speaker": actor,
        "gender": "M" if int(actor) % 2 else "F",
        "language": "en",
        "intensity": INTENSITIES[intensity],
        "sentence": sentence,
        "repetition": int(repetition),
    }


_CORPUS = Recordings("RAVDESS", "03-01-06-01-02-01-12.wav", COUNTS, _parse)


@checked
def read_ravdess(data_folder: _CORPUS.folder, labels: Classes() = None):
    """Reads the speech of RAVDESS; songs and the sound of videos are left out.

    Arguments
    ---------
    data_folder : str
        Its recordings lie somewhere below, as .wav or .flac.
    labels : list of str, optional
        Of the keys of `COUNTS`; default: anger, happiness, neutral, sadness.

    Returns
    -------
    dict
        Id -> entry, sorted by id, with `wav`, `start`, `stop`, `duration`
        (seconds), `emotion`, `speaker` (01 to 24), `gender`, `language`,
        `intensity` (normal or strong), `sentence`, `repetition` (1 or 2) and,
        where several channels are to be mixed, `channel`. Its `odd` is what was
        odd, see `utils.odd_entries`.

    Raises
    ------
    InputError
        If it is not RAVDESS, or too much is odd.
    """
    return read_recordings(_CORPUS, data_folder, labels)
