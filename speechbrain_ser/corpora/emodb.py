"""Reads EMO-DB, German, wherever below a folder its files lie.

Burkhardt et al., "A Database of German Emotional Speech", Interspeech 2005: ten
actors, ten sentences, seven emotions.
"""

import os
import re

from speechbrain_ser.corpora.recordings import (
    Recordings,
    find_table,
    read_recordings,
)
from speechbrain_ser.corpora.release import Classes, rating
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import checked

SPEAKERS = {
    "03": "M",
    "08": "F",
    "09": "F",
    "10": "M",
    "11": "M",
    "12": "M",
    "13": "F",
    "14": "F",
    "15": "M",
    "16": "F",
}
LETTERS = {
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "happiness",
    "T": "sadness",
    "N": "neutral",
}
# Of the release's 535.
COUNTS = {
    "anger": 127,
    "boredom": 81,
    "disgust": 46,
    "fear": 69,
    "happiness": 71,
    "sadness": 62,
    "neutral": 79,
}
# The listeners' judgements: ours with commas, the release's with blanks.
AGREEMENT = ["agreement.csv", "erkennung.txt"]

_NAME = re.compile(r"(\d\d)([ab]\d\d)([WLEAFTN])([a-z]?)", re.IGNORECASE)


def _parse(name):
    """The id and the entry of a file's name."""
    match = _NAME.fullmatch(name)
    if match is None or match[1] not in SPEAKERS:
        return None
    sentence, letter = match[2].lower(), match[3].upper()
    return match[1] + sentence + letter + match[4].lower(), {
        "emotion": LETTERS[letter],
        "speaker": match[1],
        "gender": SPEAKERS[match[1]],
        "language": "de",
        "sentence": sentence,
    }


_CORPUS = Recordings("EMO-DB", "03a01Fa.wav", COUNTS, _parse)


@checked
def read_emodb(data_folder: _CORPUS.folder, labels: Classes() = None):
    """Reads EMO-DB.

    Arguments
    ---------
    data_folder : str
        Its recordings lie somewhere below, as .wav or .flac. What the
        listeners said, `agreement.csv` or the release's `erkennung.txt`, is
        read too if it lies there or beside the folder.
    labels : list of str, optional
        Of the keys of `COUNTS`; default: anger, happiness, neutral, sadness.

    Returns
    -------
    dict
        Id -> entry, sorted by id, with `wav`, `start`, `stop`, `duration`
        (seconds), `emotion`, `speaker`, `gender`, `language`, `sentence` and, if
        it is known, `agreement` (the share of the listeners who named the
        emotion). Its `odd` is what was odd, see `utils.odd_entries`.

    Raises
    ------
    InputError
        If it is not EMO-DB, or too much is odd.
    """
    return read_recordings(_CORPUS, data_folder, labels, _add_agreement)


def _add_agreement(root, entries, odd):
    """Adds what the listeners said, if there is a table that names entries."""
    for path in find_table(root, AGREEMENT):
        percents = {k: v for k, v in _table(path).items() if k in entries}
        for key, (line, text) in percents.items():

            def told(what, done, text, where=(path, f"line {line}")):
                """Notes an odd number."""
                odd.add(*where, f"Agreements {what}", done, text)

            value = rating(text, 0, 100, told)
            if value is not None:
                entries[key]["agreement"] = value / 100
        if percents:
            return


def _table(path):
    """Id -> line and per cent of the listeners; empty if it is no such table."""
    try:
        with open(path, encoding="latin-1") as file:
            lines = file.read().removeprefix("\xef\xbb\xbf").splitlines()
    except OSError as error:
        raise InputError(
            f"'{path}' can't be read ({error.strerror}): make it readable, or "
            "move it away."
        ) from None
    comma = path.endswith(".csv")
    rows = [line.split(",") if comma else line.split() for line in lines]
    rows = [[cell.strip().strip('"') for cell in row] for row in rows]
    name, percent = 0, 1
    if comma:
        header = rows[0] if rows else []
        if not {"file", "recognised_pct"} <= set(header):
            return {}
        name, percent = header.index("file"), header.index("recognised_pct")
    found = {}
    for number, row in enumerate(rows, 1):
        if len(row) > max(name, percent):
            parsed = _parse(os.path.splitext(os.path.basename(row[name]))[0])
            if parsed is not None:
                text = row[percent]
                text = text if comma else text.replace(",", ".")
                found[parsed[0]] = (number, text)
    return found
