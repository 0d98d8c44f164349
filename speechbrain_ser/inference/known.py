"""What is known of a trained run that a model folder or a card should say."""

import json
import os

import soundfile

MINI = "mini"
# What of a run's metrics.json a card says.
SAID = (
    "method",
    "system",
    "corpus",
    "protocol",
    "fold",
    "seed",
    "hparams",
    "transductive",
    "standardise_by",
    "task",
    "selected_epoch",
    "sizes",
    "counts",
    "split_sha256",
    "versions",
)
SCORES = ("n", "WA", "UA", "macro_F1", "weighted_F1", "recall", "interval")
TRAINED_ON = ("train", "source", "unlabelled", "target")
LOOKED_AT = 200  # files whose rate is read


def known_of(trained, run):
    """Says what a model folder has to say of a run.

    Arguments
    ---------
    trained : TrainedRun
    run : str
        Its ``output_folder``.

    Returns
    -------
    dict
        Plain: ``name``, ``labels``, ``sample_rate``, ``temperature``,
        ``max_seconds``, ``batch_size`` and ``card``.
    """
    metrics, settings = trained.metrics, trained.settings
    brain = trained.brain
    calibration = metrics.get("calibration") or {}
    longest = 60.0
    if settings.get("long_utterances") == "split" and settings["max_duration"]:
        longest = float(settings["max_duration"])
    stem = os.path.splitext(metrics.get("hparams") or "model")[0]
    corpus = metrics.get("corpus") or settings.get("corpus_name") or "speech"
    return {
        "name": "-".join([stem, *str(corpus).split()]),
        "labels": list(brain.labels),
        "sample_rate": brain.sample_rate,
        "temperature": calibration.get("temperature"),
        "max_seconds": longest,
        "batch_size": brain.eval_batch_size,
        "card": card_of(metrics, run),
    }


def card_of(metrics, run):
    """Returns what is said of a run's data, protocol and scores."""
    card = {name: metrics[name] for name in SAID if name in metrics}
    card["classes"] = metrics.get("labels")
    spoken = {}
    for part in TRAINED_ON:
        spoken |= annotation_of(run, part)
    trained = annotation_of(run, "train") or annotation_of(run, "source")
    card["languages"] = known_words(spoken, "language")
    two = {name: annotation_of(run, name) for name in ("source", "target")}
    if all(two.values()):
        card["languages_of"] = {
            name: known_words(held, "language") for name, held in two.items()
        }
    card["speakers"] = len(known_words(trained, "speaker")) or None
    seconds = sum(entry.get("duration", 0) for entry in trained.values())
    card["hours"] = round(seconds / 3600, 3)
    card["sample_rates"] = rates_of(trained)
    card["scores"] = {
        part: {name: found[name] for name in SCORES if name in found}
        for part, found in metrics.get("metrics", {}).items()
        if part != "train"
    }
    if metrics.get("calibration"):
        card["calibration"] = metrics["calibration"]
    return card


def annotation_of(run, part):
    """Reads a part's annotation that a run kept; empty if it did not."""
    try:
        path = os.path.join(run, f"{part}.json")
        with open(path, encoding="utf-8") as file:
            held = json.load(file)
    except (OSError, ValueError):
        return {}
    return {k: e for k, e in held.items() if isinstance(e, dict)}


def known_words(annotation, name):
    """Returns the words that entries have under a name, sorted."""
    words = {entry.get(name) for entry in annotation.values()}
    return sorted(str(word) for word in words if word is not None)


def rates_of(annotation):
    """Returns the rates of some of an annotation's files that are still here."""
    rates = set()
    for entry in list(annotation.values())[:LOOKED_AT]:
        try:
            rates.add(soundfile.info(entry["wav"]).samplerate)
        except (RuntimeError, OSError, KeyError):
            continue
    return sorted(rates)
