#!/usr/bin/env python3
"""Makes a model folder of the probe, trained on all speakers of open corpora.

The mean over time of a layer of a frozen Whisper base, standardised, and
logistic regression (`methods.probe`, the settings of
recipes/AnyCorpus/hparams/probe.yaml). How good it is is measured with one
speaker left out at a time, of more than twelve a fifth; the temperature is that
of held-out speakers.

    python tools/make_model.py FOLDER --emodb DIR --encoder_folder WHISPER
    python tools/make_model.py FOLDER --emodb DIR --ravdess DIR --nemo DIR \\
        --encoder_folder WHISPER
"""

import argparse
import functools
import json
import pathlib
import sys
import tempfile

from speechbrain_ser.utils.errors import InputError

LABELS = ["anger", "happiness", "neutral", "sadness"]
CORPORA = {"emodb": "EMO-DB", "ravdess": "RAVDESS", "nemo": "nEMO"}
FEW = 12  # speakers: of more, groups are left out, each takes a minute or more
FREE = {"EMO-DB"}  # CC0; the others are for no commercial use
# How speech was standardised, in words for the card.
STANDARDISED = {
    "train": "as it is",
    "speaker": "each speaker by all that he says",
    "all": "all of it as of one speaker",
}
SCORES = ("n", "WA", "UA", "recall", "interval")
HPARAMS = (
    pathlib.Path(__file__).parents[1]
    / "recipes"
    / "AnyCorpus"
    / "hparams"
    / "probe.yaml"
)
# What the probe hears, as a model folder describes it.
FEATURES = {
    "features": {
        "call": "speechbrain_ser.data.layer_statistics.LayerStatistics",
        "with": {
            "encoder": {
                "call": "speechbrain_ser.lobes.speech_encoder.speech_encoder",
                "with": {
                    "frozen": True,
                    "weighted": True,
                    "sample_rate": 16000,
                },
            }
        },
    }
}
LICENCE = """\
The weights in this folder were trained on {corpora}. {restricted} under the
licence CC BY-NC-SA 4.0 (https://creativecommons.org/licenses/by-nc-sa/4.0/),
which allows no commercial use and asks that what is made of it is shared alike.
This folder is given under the same licence.
"""


def read(folders):
    """Reads the four classes of corpora; ids and speakers tell whose they are.

    Arguments
    ---------
    folders : dict
        Corpus to folder.

    Returns
    -------
    dict
        Id to entry.
    """
    from speechbrain_ser.corpora.emodb import read_emodb
    from speechbrain_ser.corpora.nemo import read_nemo
    from speechbrain_ser.corpora.ravdess import read_ravdess

    readers = {"emodb": read_emodb, "ravdess": read_ravdess, "nemo": read_nemo}
    every = {}
    for corpus, folder in folders.items():
        for key, entry in readers[corpus](folder, LABELS).items():
            speaker = f"{corpus}-{entry['speaker']}"
            every[f"{corpus}-{key}"] = entry | {"speaker": speaker}
    return every


def fitted(annotation, tested, features, cache_folder):
    """Fits the probe; predicts what is tested.

    Arguments
    ---------
    annotation : dict
        What trains.
    tested : dict or None
    features : LayerStatistics
    cache_folder : str

    Returns
    -------
    brain : ProbeBrain
    dict or None
        Id to prediction.
    """
    from speechbrain_ser.experiment.hparams import peek
    from speechbrain_ser.methods.probe import ProbeBrain

    settings = peek(str(HPARAMS), "")
    names = ("penalties", "groups", "class_weights", "deviations", "layer")
    brain = ProbeBrain(
        LABELS,
        features,
        cache_folder,
        "logistic",
        output_folder=tempfile.mkdtemp(),
        run_opts={"device": "cpu", "noprogressbar": True},
        **{name: settings[name] for name in names},
    )
    parts = {"train": annotation} | ({"test": tested} if tested else {})
    brain.set_parts(parts)
    brain.fit(None, brain.train_set)
    return brain, brain.predict(brain.datasets["test"]) if tested else None


def left_out(annotation, features, cache_folder):
    """Predicts each speaker by others: one at a time, of many a fifth.

    Returns
    -------
    str
        How, for the card.
    dict
        What it says of scores.
    """
    from speechbrain_ser.evaluation.metrics import interval_report
    from speechbrain_ser.methods.probe_choice import speaker_groups
    from speechbrain_ser.scores import classification_metrics

    named = [entry["speaker"] for entry in annotation.values()]
    n = len(set(named))
    groups = speaker_groups(named, n if n <= FEW else 5)
    words, guesses, who = [], [], []
    for group in sorted(set(groups)):
        of_group = dict(zip(annotation, groups == group))
        own = {k: e for k, e in annotation.items() if of_group[k]}
        rest = {k: e for k, e in annotation.items() if not of_group[k]}
        brain, found = fitted(rest, own, features, cache_folder)
        for word, guess, speaker in brain.labelled(found):
            words.append(word)
            guesses.append(guess)
            who.append(speaker)
        print(f"group {group + 1} left out: {len(own)} utterances", flush=True)
    scores = classification_metrics(words, guesses, LABELS)
    scores["interval"] = interval_report(words, guesses, LABELS, who)
    few = "a speaker left out"
    return few if n <= FEW else "a fifth of the speakers left out", scores


def measured(folders, digest):
    """Reads what ``ser-evaluate`` found of this very model elsewhere.

    Arguments
    ---------
    folders : list of str
        Of its reports.
    digest : str
        The model's.

    Returns
    -------
    dict
        What a card says of scores.

    Raises
    ------
    InputError
        If a report is another model's.
    """
    found = {}
    for folder in folders:
        text = pathlib.Path(folder, "metrics.json").read_text("utf-8")
        metrics = json.loads(text)
        if metrics["model_sha256"] != digest:
            raise InputError(
                f"{folder} reports another model: evaluate this one, without "
                "--evaluated, and make it again"
            )
        scores = metrics["metrics"]["test"]
        errors = metrics["calibration"]["parts"]["test"]["tempered"]
        name = f"{metrics['corpus']}, {STANDARDISED[metrics['standardise_by']]}"
        found[name] = {k: scores[k] for k in SCORES} | {"ECE": errors["ECE"]}
    return found


def card_of(folders, annotation, brain, scores):
    """Returns what the folder's card says."""
    from speechbrain_ser.inference.known import known_words, rates_of

    names = [CORPORA[corpus] for corpus in folders]
    seconds = sum(entry["duration"] for entry in annotation.values())
    notes = brain.history.notes
    return {
        "method": "linear probe",
        "corpus": " and ".join(names),
        "classes": LABELS,
        "protocol": f"all speakers train; scores with {next(iter(scores))}",
        "languages": known_words(annotation, "language"),
        "speakers": len({e["speaker"] for e in annotation.values()}),
        "hours": round(seconds / 3600, 3),
        "sample_rates": rates_of(annotation),
        "sizes": {"train": len(annotation)},
        "chosen": {k: notes["chosen"][k] for k in ("layers", "C")},
        "calibration": notes["calibration"],
        "scores": scores,
    }


def make(folder, folders, encoder_folder, encoder_name, cache_folder, reports):
    """Makes the model folder.

    Arguments
    ---------
    folder : str
        Not there yet.
    folders : dict
        Corpus to where it lies.
    encoder_folder, encoder_name : str
        Where Whisper lies, and what the hub calls it.
    cache_folder : str
        Of the features.
    reports : list of str
        Of ``ser-evaluate``, of the same model made before: for the card.
    """
    from speechbrain_ser.data.layer_statistics import LayerStatistics
    from speechbrain_ser.inference.encoder_place import told_of
    from speechbrain_ser.inference.export import check_free, write_folder
    from speechbrain_ser.inference.folder import FORMAT
    from speechbrain_ser.inference.from_run import of_probe
    from speechbrain_ser.lobes.speech_encoder import speech_encoder

    check_free(folder)
    annotation = read(folders)
    encode = functools.partial(
        speech_encoder, encoder_folder, None, frozen=True, weighted=True
    )
    features = LayerStatistics(encode())
    brain, _ = fitted(annotation, None, features, cache_folder)
    cls, arguments, made = of_probe(brain, FEATURES, {})
    model, told = cls(**arguments).eval(), arguments | made
    reported = measured(reports, digest_of(model, told))
    how, scores = left_out(annotation, LayerStatistics(encode()), cache_folder)
    card = card_of(folders, annotation, brain, {how: scores})
    card["scores"] |= reported
    config = {
        "format": FORMAT,
        "name": "-".join([*folders, "whisper-base"]),
        "labels": LABELS,
        "sample_rate": 16000,
        "temperature": card["calibration"]["temperature"],
        "max_seconds": 60.0,
        "batch_size": 16,
        "card": card,
        "model": {"class": cls.__name__, "with": told},
        "encoder": told_of(arguments["features"].encoder, encoder_name),
    }
    write_folder(folder, config, model, None)
    write_licence(folder, card["corpus"].split(" and "))
    found = 100 * scores["UA"]
    print(f"{folder}: UA {found:.1f} with {how}")


def digest_of(model, told):
    """Returns the digest by which reports name the model that this becomes."""
    from speechbrain_ser.inference.recognizer import EmotionRecognizer

    about = {"class": type(model).__name__, "with": told}
    about = json.loads(json.dumps(about))  # as config.json gives it back
    return EmotionRecognizer(model, LABELS, about=about, device="cpu").digest


def write_licence(folder, corpora):
    """Writes the licence that the corpora's asks for, if one does."""
    restricted = [name for name in corpora if name not in FREE]
    if restricted:
        verb = "is" if len(restricted) == 1 else "are"
        text = LICENCE.format(
            corpora=" and ".join(corpora),
            restricted=f"{' and '.join(restricted)} {verb}",
        )
        pathlib.Path(folder, "LICENSE").write_text(text, encoding="utf-8")


def main(words=None):
    """Makes it as the command line says; errors in one sentence."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("folder", help="of the model; not there yet")
    for corpus, name in CORPORA.items():
        add(f"--{corpus}", metavar="DIR", help=f"where {name} lies")
    add("--encoder_folder", required=True, help="a copy of Whisper base")
    add("--encoder_name", default="openai/whisper-base")
    add("--cache_folder", default="results/frames")
    add(
        "--evaluated",
        nargs="*",
        default=[],
        metavar="REPORT",
        help="folders of ser-evaluate's reports of this model, for its card",
    )
    given = parser.parse_args(words)
    chosen = {c: getattr(given, c) for c in CORPORA if getattr(given, c)}
    if not chosen:
        parser.error("give --emodb, --ravdess or --nemo")
    try:
        make(
            given.folder,
            chosen,
            given.encoder_folder,
            given.encoder_name,
            given.cache_folder,
            given.evaluated,
        )
    except InputError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
