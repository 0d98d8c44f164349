"""Reads nEMO, Polish, wherever below a folder its files lie.

Christop, "nEMO: Dataset of Emotional Speech in Polish", LREC-COLING 2024: nine
actors, ninety sentences, six emotions.
"""

import re

from speechbrain_ser.corpora.recordings import (
    Recordings,
    find_table,
    read_recordings,
)
from speechbrain_ser.corpora.release import Classes
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import checked

# Of the release's 4481.
COUNTS = {
    "anger": 749,
    "fear": 736,
    "happiness": 749,
    "sadness": 769,
    "surprise": 669,
    "neutral": 809,
}
GENDERS = {
    "EB0": "F",
    "IC0": "F",
    "KD0": "F",
    "KS0": "M",
    "MK0": "F",
    "MP0": "M",
    "SM0": "M",
    "TP0": "M",
    "WR0": "M",
}
TABLE = "data.tsv"

_WORDS = {word: word for word in COUNTS} | {"surprised": "surprise"}
_NAME = re.compile(rf"([A-Z]{{2}}\d)_({'|'.join(_WORDS)})_(\d{{1,2}})")


def _parse(name):
    """The id and the entry of a file's name."""
    match = _NAME.fullmatch(name.strip())
    if match is None:
        return None
    return name.strip(), {
        "emotion": _WORDS[match[2]],
        "speaker": match[1],
        "language": "pl",
        "sentence": match[3],
    }


_CORPUS = Recordings("nEMO", "EB0_anger_10.wav", COUNTS, _parse)


@checked
def read_nemo(data_folder: _CORPUS.folder, labels: Classes() = None):
    """Reads nEMO.

    Arguments
    ---------
    data_folder : str
        Its recordings lie somewhere below, as .wav or .flac; `data.tsv` there
        or beside it names the speakers' genders, but is not needed.
    labels : list of str, optional
        Of the keys of `COUNTS`; default: anger, happiness, neutral, sadness.

    Returns
    -------
    dict
        Id -> entry, sorted by id, with `wav`, `start`, `stop`, `duration`
        (seconds), `emotion`, `speaker`, `gender`, `language` and `sentence`. Its
        `odd` is what was odd, see `utils.odd_entries`.

    Raises
    ------
    InputError
        If it is not nEMO, or too much is odd.
    """
    return read_recordings(_CORPUS, data_folder, labels, _add_gender)


def _add_gender(root, entries, odd):
    """Adds the speakers' genders: the table's, else those of the release."""
    genders = GENDERS | _genders(root)
    for entry in entries.values():
        if entry["speaker"] in genders:
            entry["gender"] = genders[entry["speaker"]]


def _genders(root):
    """Speaker -> F or M, as the table says it."""
    letters = {"female": "F", "male": "M"}
    for path in find_table(root, [TABLE]):
        try:
            with open(path, encoding="utf-8-sig") as file:
                rows = [line.rstrip("\n").split("\t") for line in file]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"'{path}' can't be read as UTF-8 ({error}): copy it again "
                "from the release, or move it away."
            ) from None
        columns = [cell.strip() for cell in rows[0]] if rows else []
        if {"speaker_id", "gender", "normalized_text"} <= set(columns):
            who, what = columns.index("speaker_id"), columns.index("gender")
            return {
                row[who].strip(): letters[row[what].strip()]
                for row in rows[1:]
                if len(row) == len(columns) and row[what].strip() in letters
            }
    return {}
