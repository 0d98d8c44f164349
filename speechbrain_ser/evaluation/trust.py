"""How far a report's posteriors can be trusted, and the temperature for it."""

import numpy as np

from speechbrain_ser.evaluation.calibration import calibration, reliability
from speechbrain_ser.figures.reliability import plot_reliability
from speechbrain_ser.utils.temperature import tempered, trusted_temperature

TRAINING = ("train", "unlabelled")  # parts whose speakers train


class Trust:
    """Measures posteriors as they are, and with one temperature.

    Arguments
    ---------
    labels : list of str
    parts : dict
        Part to what the Brain's ``predict`` returned.
    fitted : dict
        What is said of the temperature: ``temperature``, a number or None, and
        what else there is, see `fitted_on`.

    Attributes
    ----------
    facts : dict
        For ``metrics.json``: `fitted`, and of each part that has labels ``n``
        and what `calibration` returns, ``raw`` and ``tempered``.
    """

    def __init__(self, labels, parts, fitted):
        self.temperature = fitted["temperature"]
        self.held = {}
        for part, predictions in parts.items():
            known = labelled(predictions, labels)
            if known is not None:
                self.held[part] = known
        self.facts = fitted | {
            "parts": {part: self.measured(part) for part in self.held}
        }

    def posteriors(self, part):
        """Returns a part's posteriors by name: as they are, and tempered."""
        found = {"raw": self.held[part][0]}
        if self.temperature is not None:
            found["tempered"] = tempered(found["raw"], self.temperature)
        return found

    def measured(self, part):
        """Returns what a part's calibration is."""
        index = self.held[part][1]
        found = {
            name: calibration(posteriors, index)
            for name, posteriors in self.posteriors(part).items()
        }
        return {"n": len(index), "raw": None, "tempered": None} | found

    def best(self, part="test"):
        """Returns the temperature that a part's own labels would have.

        It says how far off the fitted one is, and is used for nothing.
        """
        return trusted_temperature(*self.held[part])[0]

    def draw(self, path, title, part="test"):
        """Draws ``reliability.png`` of a part, if it has labels."""
        if part not in self.held:
            return
        index, panels = self.held[part][1], {}
        for name, posteriors in self.posteriors(part).items():
            shown = "as it is"
            if name == "tempered":
                shown = f"temperature {self.temperature:.2f}"
            error = self.facts["parts"][part][name]["ECE"]
            shown = f"{shown}: error {100 * error:.1f} %"
            panels[shown] = reliability(posteriors, index)
        plot_reliability(path, panels, title)

    def line(self, part="test"):
        """Returns what is said of a part on the screen, None without labels.

        Returns
        -------
        str or None
        """
        if part not in self.held:
            return None
        found = self.facts["parts"][part]
        said = f"{part}, calibration error {100 * found['raw']['ECE']:.1f} %"
        if self.temperature is None:
            return f"{said}; no temperature: {self.facts['reason']}"
        said += (
            f", with temperature {self.temperature:.2f} "
            f"{100 * found['tempered']['ECE']:.1f} % "
            f"(fitted on {self.facts['fitted_on']}"
        )
        if self.facts.get("n") is not None:
            said += f", {self.facts['n']} utterances"
        if self.facts.get("speakers_who_train"):
            said += (
                f", {self.facts['speakers_who_train']} of its "
                f"{self.facts['speakers']} speakers train too"
            )
        note = self.facts.get("note")
        return f"{said})" + (f"; {note}" if note else "")


def labelled(predictions, labels):
    """Returns the posteriors of what has a label, and its classes.

    Returns
    -------
    tuple of numpy.ndarray or None
        ``[n, classes]`` and ``[n]``; None if nothing has a label.
    """
    held = [
        prediction
        for prediction in predictions.values()
        if prediction["entry"].get("emotion") is not None
    ]
    if not held:
        return None
    place = {word: index for index, word in enumerate(labels)}
    return (
        np.stack([p["posterior"].double().numpy() for p in held]),
        np.array([place[p["entry"]["emotion"]] for p in held]),
    )


def fitted_on(part, parts, labels):
    """Fits a temperature on a part that was not trained on.

    Arguments
    ---------
    part : str
        Mostly ``valid``; it may have chosen the epoch.
    parts : dict
        Part to what the Brain's ``predict`` returned.
    labels : list of str

    Returns
    -------
    dict
        ``temperature``, ``fitted_on`` and, of what it was fitted on, ``n``, the
        number of ``speakers`` (None: not known) and how many of them train, and
        are tested, too. ``reason`` is why the temperature is None, ``note`` what
        is to be said of it.
    """
    held = labelled(parts.get(part, {}), labels)
    if held is None:
        why = f"there is no {part} part with labels to fit one on"
        return no_temperature(why)
    temperature, note = trusted_temperature(*held)
    facts = {"n": len(held[1])} | speakers_of(part, parts)
    if temperature is None:
        return no_temperature(f"of the {part} part {note}") | facts
    facts = {"temperature": temperature, "fitted_on": part} | facts
    return facts | ({"note": note} if note else {})


def no_temperature(reason):
    """Returns what is said where there is no temperature.

    Example
    -------
    >>> no_temperature("nobody validates")["temperature"] is None
    True
    """
    return {"temperature": None, "fitted_on": None, "reason": reason}


def speakers_of(part, parts):
    """Counts a part's speakers, and those of them who train or are tested."""

    def of(*names):
        """The speakers of some parts; None is one who is not known."""
        return {
            prediction["entry"].get("speaker")
            for name in names
            for prediction in parts.get(name, {}).values()
        }

    own = of(part)
    if None in own:
        return {"speakers": None}
    return {
        "speakers": len(own),
        "speakers_who_train": len(own & of(*TRAINING)),
        "speakers_who_test": len(own & of("test")),
    }
