"""A trained model on other labelled speech: what is said, and the report."""

import os
import sys
import time

from speechbrain_ser.experiment.identity import digest
from speechbrain_ser.experiment.run_folder import (
    SETTINGS,
    check_folder,
    claim_folder,
)
from speechbrain_ser.inference.answers import answers_of
from speechbrain_ser.inference.other_corpus import (
    may_have_trained,
    shared_classes,
)
from speechbrain_ser.inference.spoken import few_spoken
from speechbrain_ser.utils.errors import InputError

# Choice of --speakers to by whom features are standardised.
STANDARDISED = {"no": "train", "column": "speaker", "all": "all"}


def evaluate(recognizer, corpus, given):
    """Evaluates a model and writes the report.

    Arguments
    ---------
    recognizer : EmotionRecognizer
    corpus : tuple
        Of `other_corpus.read_corpus`.
    given : argparse.Namespace
        Of `evaluate.arguments`.

    Raises
    ------
    InputError
        If no class is shared, speakers are not as asked for, nothing can be
        labelled, or the output folder holds something else.
    """
    name, entries, unlabelled = corpus
    kept, classes = shared_classes(entries, recognizer.labels, given.labels)
    if unlabelled:
        classes["unlabelled"] = unlabelled
    speakers = given.speakers
    if speakers is None:
        speakers = "column" if recognizer.by == "speaker" else "no"
    folder = given.output_folder or os.path.join(
        "results", "evaluated", recognizer.name, name
    )
    said = what_decides(recognizer, name, kept, speakers, given.min_confidence)
    claim(folder, given.model, said)
    say(name, kept, classes, recognizer)
    if speakers == "column":
        note = few_spoken(entry.get("speaker") for entry in kept.values())
        if note is not None:
            print(note)
    started = time.time()
    predictions, failed = answers_of(
        recognizer, kept, speakers, progress_over(len(kept))
    )
    seconds = time.time() - started
    tell_failed(failed)
    trained = may_have_trained(name, recognizer.card)
    facts = said | {
        "labels": recognizer.labels,
        "trained_on": recognizer.card.get("corpus"),
        "trained_by": recognizer.card.get("protocol"),
        "speakers_may_have_trained": trained,
        "nothing_was_trained_or_chosen_here": True,
        "classes": classes,
        "failed": failed,
        "sizes": {"test": len(predictions)},
        "hours": sum(e["duration"] for e in kept.values()) / 3600,
    }
    write_report(recognizer, predictions, folder, seconds, facts)
    tell_trained(trained, recognizer, name, given.manifest is not None)


def what_decides(recognizer, name, kept, speakers, least):
    """Returns what decides a report: two that differ in it are two.

    Returns
    -------
    dict
        Plain, for ``settings.json`` and ``metrics.json``.
    """
    return {
        "model": recognizer.name,
        "model_sha256": recognizer.digest,
        "temperature": recognizer.temperature,
        "corpus": name,
        "standardise_by": STANDARDISED[speakers],
        "min_confidence": least,
        "speech": digest([[k, e["emotion"]] for k, e in kept.items()]),
    }


def claim(folder, model, said):
    """Refuses a folder that holds something else, or is the model's.

    Arguments
    ---------
    folder : str
        Of the report.
    model : str
        The model's folder.
    said : dict
        What decides the report.

    Raises
    ------
    InputError
    """
    inside, place = os.path.realpath(model), os.path.realpath(folder)
    if os.path.isfile(place):
        raise InputError(f"{folder} is a file: give another --output_folder")
    if place == inside or place.startswith(inside + os.sep):
        raise InputError(
            f"{folder} is in the folder of the model, which is only read: give "
            "another --output_folder"
        )
    if os.path.isdir(folder) and os.listdir(folder):
        if not os.path.exists(os.path.join(folder, SETTINGS)):
            raise InputError(
                f"{folder} holds something else: give another --output_folder"
            )
    check_folder(folder, said)
    claim_folder(folder, said)


def write_report(recognizer, predictions, folder, seconds, facts):
    """Writes metrics, predictions and figures."""
    from speechbrain_ser.evaluation.other_speech import (
        Answers,
        OtherSpeechReport,
    )

    device = getattr(recognizer, "device", "cpu")
    answers = Answers(recognizer.labels, str(device), seconds)
    answers.datasets = {"test": predictions}
    report = OtherSpeechReport(
        answers,
        folder,
        temperature_of(recognizer),
        facts["min_confidence"],
        recognizer.own,
    )
    title = f"{recognizer.name} on {facts['corpus']}"
    report.write(facts, title)


def temperature_of(recognizer):
    """Returns what is said of a model's temperature, None if it has none."""
    if recognizer.temperature == 1:
        return None
    known = recognizer.card.get("calibration") or {}
    on = known.get("fitted_on") or "what its folder does not say"
    of = recognizer.card.get("corpus")
    return {
        "temperature": recognizer.temperature,
        "fitted_on": f"{on} of {of}" if of else on,
    }


# What is said


def say(name, kept, classes, recognizer):
    """Says what is evaluated, and what either side lacks."""
    counts = {
        word: sum(e["emotion"] == word for e in kept.values())
        for word in recognizer.labels
    }
    shown = ", ".join(f"{word} {n}" for word, n in counts.items() if n)
    print(f"{name}: {len(kept)} utterances ({shown})")
    if classes["left_out"]:
        shown = ", ".join(f"{w} {n}" for w, n in classes["left_out"].items())
        print(f"left out, of classes that are none of these: {shown}")
    if classes["classes_without_speech"]:
        print(
            f"nobody shows {', '.join(classes['classes_without_speech'])}: left "
            "out of the means; the model may name them, wrongly"
        )
    if classes.get("unlabelled"):
        print(f"left out, without an emotion: {classes['unlabelled']}")


def tell_failed(failed):
    """Says what could not be labelled, and the first reason."""
    if failed:
        reason = next(iter(failed.values()))
        print(f"left out, the model says nothing: {len(failed)} ({reason})")


def tell_trained(trained, recognizer, name, manifest=False):
    """Says whether the speakers may be those who trained the model."""
    known = recognizer.card.get("corpus")
    if manifest and known and not trained:
        print(
            f"the model was trained on {known}: if these recordings are among "
            "it, the scores say nothing"
        )
        return
    if trained:
        print(
            f"the model was trained on {recognizer.card['corpus']}: speakers of "
            f"{name} may have trained it, and it may then do worse on others"
        )
    elif trained is None:
        print("the model does not say on whom it was trained")


def progress_over(total):
    """Returns what shows how far a loop is, where somebody sees it."""
    from tqdm import tqdm

    quiet = not sys.stderr.isatty()
    return lambda rows: tqdm(rows, "labelled", total, disable=quiet)
