"""A row of the table: what a model said, tempered, in four digits."""

import csv
import io
import json

from speechbrain_ser.inference.speech import printable
from speechbrain_ser.utils.temperature import tempered

UNSURE = "unsure"
DIGITS = 4


class Rows:
    """Makes the rows of a table, with the same columns in all.

    Arguments
    ---------
    recognizer : EmotionRecognizer
        Its classes, name and own columns.
    speech : list of Speech
        All of them: whether a column is needed is seen by them.
    temperature : float
    min_confidence : float, optional
        Below it a label is `UNSURE`.
    """

    def __init__(self, recognizer, speech, temperature, min_confidence=None):
        self.labels = list(recognizer.labels)
        self.own = list(recognizer.own)
        self.of_posterior = recognizer.of_posterior
        self.model = recognizer.name
        self.temperature = temperature
        self.min_confidence = min_confidence
        self.parts = any(s.start is not None or s.stop for s in speech)
        self.channels = any(s.channel is not None for s in speech)
        self.speakers = any(s.speaker is not None for s in speech)

    def make(self, speech, seconds, said):
        """Makes a row.

        Arguments
        ---------
        speech : Speech
        seconds : float or None
            Its duration, if it could be looked at.
        said : Said

        Returns
        -------
        dict
            Column to text, number or None.
        """
        row = {"file": printable(speech.name)}
        if self.parts:
            row |= {"start": speech.start, "stop": speech.stop}
        if self.channels:
            row |= {"channel": speech.channel}
        if self.speakers:
            row |= {"speaker": speech.speaker}
        row |= {"label": None, "confidence": None}
        row |= dict.fromkeys(map(self.column, self.labels))
        row |= dict.fromkeys(self.own)
        row["seconds"] = None if seconds is None else round(seconds, 3)
        row |= {"model": self.model, "error": said.error}
        if said.error is None:
            row |= self.answer(said)
        return row

    def answer(self, said):
        """The columns of what the model said."""
        posterior = list(said.posterior)
        if self.temperature != 1:
            posterior = tempered(posterior, self.temperature).tolist()
        best = max(range(len(posterior)), key=posterior.__getitem__)
        sure = (
            self.min_confidence is None
            or posterior[best] >= self.min_confidence
        )
        found = {
            "label": self.labels[best] if sure else UNSURE,
            "confidence": round(posterior[best], DIGITS),
        }
        for word, value in zip(self.labels, posterior):
            found[self.column(word)] = round(value, DIGITS)
        own = said.own | {
            name: posterior[index] for name, index in self.of_posterior.items()
        }
        for name in self.own:
            if name in own:
                found[name] = round(own[name], DIGITS)
        return found

    @staticmethod
    def column(word):
        """The column of a class' posterior."""
        return f"posterior_{word}"


def as_csv(rows):
    """Writes rows as CSV.

    Example
    -------
    >>> as_csv([{"file": "a,b.wav", "seconds": 1.5, "error": None}])
    'file,seconds,error\\n"a,b.wav",1.5,\\n'
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_jsonl(rows):
    """Writes rows as lines of JSON; what is not there is left out.

    Example
    -------
    >>> as_jsonl([{"file": "ä.wav", "label": None, "error": "gone"}])
    '{"file": "ä.wav", "error": "gone"}\\n'
    """
    lines = (
        json.dumps(
            {name: value for name, value in row.items() if value is not None},
            ensure_ascii=False,
        )
        for row in rows
    )
    return "".join(f"{line}\n" for line in lines)
