#!/usr/bin/env python3
"""Evaluates the models of train_menan.py, which IEMOCAP trained, on CMU-MOSEI.

Every fold's model names one of four emotions for each segment. It is right if
the annotators' rating of that emotion is above zero; neutral, if those of all
six emotions are zero.

Reference: "Speaker-Invariant Affective Representation Learning via Adversarial
Training", Li et al. 2020, section 6 and Table 3.

To run it:
> python evaluate_menan.py hparams/evaluate.yaml --data_folder CMU-MOSEI \
>     --checkpoints ../IEMOCAP/results/menan
"""

import json
import os
import pickle
import textwrap

import speechbrain as sb
import torch
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.utils.distributed import if_main_process, infer_device
from tqdm import tqdm
from yaml import YAMLError

from speechbrain_ser.corpora.annotations import write_annotation
from speechbrain_ser.corpora.cmu_mosei import read_cmu_mosei
from speechbrain_ser.corpora.mini.cmu_mosei import mini_mosei
from speechbrain_ser.corpora.protocols import named as named_protocols
from speechbrain_ser.corpora.protocols.cmu_mosei import CLASSES
from speechbrain_ser.data.dataset import make_dataset
from speechbrain_ser.data.frame_cache import FrameCache
from speechbrain_ser.experiment import recipe
from speechbrain_ser.experiment.plan import Plan
from speechbrain_ser.figures.bars import plot_bars
from speechbrain_ser.figures.style import class_name
from speechbrain_ser.lobes.features import repeated_or_middle
from speechbrain_ser.utils.checkpoints import AtomicCheckpointer
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import write_csv, write_json

PROTOCOL = "cmu-mosei-four-classes@1"
# What a table may show of a part, in per cent.
SHARES = ("mean", "min", "max", "always")
# Settings that are those of the models.
SIZES = (
    "labels",
    "duration",
    "sample_rate",
    "n_mels",
    "win_length",
    "hop_length",
    "channels",
    "kernel_sizes",
    "stride",
    "hidden_sizes",
)
# What can be a right answer.
WORDS = (*CLASSES, "neu")
TRAINED = (*SIZES, "speaker_steps")
FACTS = ("fold", "selected_epoch", "system", "corpus", "seed")
# Settings that choose among the runs, and what a run calls that.
CHOSEN = {
    "system": "system",
    "trained_on": "corpus",
    "seed": "seed",
    "speaker_steps": "speaker_steps",
}
KIND = "{system} on {corpus}, seed {seed}, speaker_steps {speaker_steps}"
PARTS = ("standardisation", "encoder", "classifier")


def prepare(data_folder, labels_file):
    """Reads the corpus.

    Arguments
    ---------
    data_folder : str
    labels_file : str or None

    Returns
    -------
    dict
        ``parts``: ``evaluation`` -> annotation; ``notes``: what was left out.
    """
    annotation, notes = read_cmu_mosei(data_folder, labels_file)
    parts = named_protocols.split(PROTOCOL, annotation)
    for entry in parts["evaluation"].values():
        entry["emotion"] = "+".join(entry["present"])
    return {"parts": parts, "notes": notes}


def finished_runs(settings):
    """Finds the finished runs of one system, corpus and seed, one a fold.

    Arguments
    ---------
    settings : dict

    Returns
    -------
    list of dict
        In order of the folds: `FACTS`, ``folder`` and ``settings``.

    Raises
    ------
    InputError
        If there is none, or the settings leave open which, or there are two
        of one fold, or models of different sizes.
    """
    root = settings["checkpoints"]
    if not os.path.isdir(str(root)):
        raise InputError(
            f"there is no folder {root}: give --checkpoints a folder above "
            "finished runs of train_menan.py"
        )
    found, kinds = [], set()
    for here, folders, files in os.walk(root):
        folders.sort()
        path = os.path.join(here, "metrics.json")
        metrics = read_json(path) if "metrics.json" in files else {}
        # a report of this recipe says what the models were trained on
        if metrics.get("method") != "MEnAN" or "trained_on" in metrics:
            continue
        metrics = read_json(path, FACTS)
        own = read_json(os.path.join(here, "settings.json"), TRAINED)
        run = {name: metrics[name] for name in FACTS}
        run |= {"folder": here, "settings": own}
        run["speaker_steps"] = own["speaker_steps"]
        kinds.add(KIND.format(**run))
        if all(
            settings[setting] in (None, run[fact])
            for setting, fact in CHOSEN.items()
        ):
            found.append(run)
    there = f" ({'; '.join(sorted(kinds))})" if kinds else ""
    if not found:
        asked = ", ".join(
            f"{name} {settings[name]}"
            for name in CHOSEN
            if settings[name] is not None
        )
        mend = f"give {', '.join(f'--{name}' for name in CHOSEN)} of those"
        if not kinds:
            mend = "give a folder above some, --checkpoints, or train first"
        raise InputError(
            f"{root} has no finished run of train_menan.py with {asked}"
            f"{there}: {mend}"
        )
    for setting, fact in CHOSEN.items():
        if len({run[fact] for run in found}) > 1:
            raise InputError(
                f"{root} has runs of more than one {fact}{there}: give "
                f"--{setting}"
            )
    found.sort(key=lambda run: run["fold"])
    first = found[0]
    for before, run in zip(found, found[1:]):
        if run["fold"] == before["fold"]:
            raise InputError(
                f"{before['folder']} and {run['folder']} are both of fold "
                f"{run['fold']}: give --checkpoints the folder of one "
                "experiment"
            )
    for run in found:
        for name in SIZES:
            if run["settings"][name] != first["settings"][name]:
                raise InputError(
                    f"{first['folder']} and {run['folder']} were trained with "
                    f"different settings of {name}: give --checkpoints the "
                    "folder of one experiment"
                )
    return found


def read_json(path, needed=()):
    """Reads a file of a run.

    Arguments
    ---------
    path : str
    needed : tuple of str
        The keys that must be there.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        If it can't be read, or a key is missing.
    """
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError) as failure:
        raise InputError(
            f"{path} can't be read ({failure}): train that fold again"
        ) from None
    missing = [name for name in needed if name not in value]
    if not isinstance(value, dict) or missing:
        what = ", ".join(missing) or "what a run says"
        raise InputError(f"{path} lacks {what}: train that fold again")
    return value


def selected_checkpoint(run):
    """Returns the folder of a run's selected epoch.

    Arguments
    ---------
    run : dict
        Of `finished_runs`.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If it is not there.
    """
    folder = os.path.join(run["folder"], "save")
    epoch = run["selected_epoch"]
    try:
        # which would make the folder
        kept = os.path.isdir(folder) and AtomicCheckpointer(folder)
        kept = kept.list_checkpoints() if kept else []
    except (OSError, ValueError, YAMLError) as failure:
        reason = textwrap.shorten(str(failure), 160, placeholder=" ...")
        raise InputError(
            f"{folder} can't be read ({reason}): train that fold again"
        ) from None
    for checkpoint in kept:
        if (checkpoint.meta or {}).get("epoch") == epoch:
            for part in PARTS:
                file = os.path.join(checkpoint.path, f"{part}.ckpt")
                if not os.path.isfile(file):
                    raise InputError(
                        f"{file} is missing: train that fold again"
                    )
            return str(checkpoint.path)
    raise InputError(
        f"{folder} has no checkpoint of epoch {epoch}, which that run "
        "selected: train that fold again"
    )


def plan(path, overrides):
    """Checks the settings, finds the models, reads the corpus.

    Arguments
    ---------
    path : str
        The hparams file.
    overrides : str
        YAML.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        If a setting, the models or the corpus are not as they must be.
    """
    settings = recipe.peek(path, overrides)
    if settings["data_folder"] is None:
        path, overrides = recipe.on_mini_corpus(
            path, overrides, None, settings["corpus"], __file__, mini_mosei
        )
        settings = recipe.peek(path, overrides)
    if settings["cache_folder"] is None:
        raise InputError("the features need a folder: give --cache_folder")
    runs = finished_runs(settings)
    trained = runs[0]["settings"]
    for word in trained["labels"]:
        if word not in WORDS:
            raise InputError(
                f"{runs[0]['folder']} was trained to tell {word!r} too, which "
                f"CMU-MOSEI does not rate: give models of {', '.join(WORDS)}"
            )
    overrides = recipe.with_overrides(
        overrides,
        system=runs[0]["system"],
        trained_on=runs[0]["corpus"],
        **{name: trained[name] for name in SIZES},
    )
    settings = recipe.peek(path, overrides)
    corpus = recipe.prepared(
        prepare,
        data_folder=settings["data_folder"],
        labels_file=settings["labels_file"],
    )
    return Plan(
        __file__,
        path,
        overrides,
        settings,
        corpus["parts"],
        PROTOCOL,
        files={
            f"fold {run['fold']} {part}": os.path.join(
                selected_checkpoint(run), f"{part}.ckpt"
            )
            for run in runs
            for part in PARTS
        },
    )


def main(path, run_opts, overrides):
    """Prepares, evaluates and reports.

    Arguments
    ---------
    path : str
        The hparams file.
    run_opts : RunOptions
        SpeechBrain's.
    overrides : str
        YAML.
    """
    planned = plan(path, overrides)
    settings = planned.settings
    runs = finished_runs(settings)
    corpus = recipe.prepared(
        prepare,
        data_folder=settings["data_folder"],
        labels_file=settings["labels_file"],
    )
    annotation = corpus["parts"]["evaluation"]
    hparams = recipe.load(planned.path, planned.overrides)
    device = run_opts.device or infer_device()
    models = [load_model(hparams, run, device) for run in runs]
    folder = hparams["output_folder"]
    facts = planned.claim(folder, run_opts)
    sb.create_experiment_directory(
        experiment_directory=folder,
        hyperparams_to_save=planned.path,
        overrides=planned.overrides,
    )
    recipe.begin_log(corpus["notes"])
    predictions = predict(models, annotation, hparams, device)
    if not if_main_process():
        return
    write_annotation(os.path.join(folder, "evaluation.json"), annotation)
    write_csv(
        os.path.join(folder, "predictions.csv"),
        [
            {"id": key, "present": " ".join(entry["present"])}
            | {
                f"fold{run['fold']}": named[key]
                for run, named in zip(runs, predictions)
            }
            for key, entry in annotation.items()
        ],
    )
    report(runs, predictions, annotation, settings, facts, device)


def load_model(hparams, run, device):
    """Loads the selected epoch of a run.

    Arguments
    ---------
    hparams : dict
    run : dict
        Of `finished_runs`.
    device : str

    Returns
    -------
    torch.nn.Sequential
        Features ``[batch, time, channels]`` to logits.

    Raises
    ------
    InputError
        If a file of the checkpoint can't be loaded.
    """
    folder = selected_checkpoint(run)
    parts = {
        "standardisation": hparams["standardisation"](),
        "encoder": hparams["encoder"](),
        "classifier": hparams["classifier"](),
    }
    for name, part in parts.items():
        file = os.path.join(folder, f"{name}.ckpt")
        try:
            weights = torch.load(file, map_location="cpu", weights_only=True)
            part.load_state_dict(weights)
        except Exception as failure:  # whatever a damaged file makes of it
            reason = str(failure) or type(failure).__name__
            reason = textwrap.shorten(reason, 160, placeholder=" ...")
            if isinstance(failure, pickle.UnpicklingError):
                # torch's own words tell how to run what is in it
                reason = "it is damaged, or holds more than weights"
            raise InputError(
                f"{file} can't be loaded ({reason}): train that fold again"
            ) from failure
    return torch.nn.Sequential(*parts.values()).to(device).eval()


@torch.no_grad()
def predict(models, annotation, hparams, device):
    """Names the emotion of each segment, with each model.

    Arguments
    ---------
    models : list of torch.nn.Module
    annotation : dict
    hparams : dict
    device : str

    Returns
    -------
    list of dict
        For each model: id -> word.
    """
    features = hparams["features"]
    cache = FrameCache(
        hparams["cache_folder"], features, hparams["sample_rate"], half=False
    )
    cache.fill(annotation, features, device)
    n_samples = hparams["duration"] * hparams["sample_rate"]
    n_frames = int(features.count_frames(n_samples))
    dataset = make_dataset(
        {key: entry | {"emotion": None} for key, entry in annotation.items()},
        hparams["labels"],
        read=lambda entry: repeated_or_middle(cache.read(entry), n_frames),
    )
    loader = make_dataloader(dataset, batch_size=hparams["eval_batch_size"])
    predictions = [{} for _ in models]
    for batch in tqdm(loader, "naming emotions", disable=not if_main_process()):
        frames = batch.sig.data.to(device)
        for model, named in zip(models, predictions):
            guesses = model(frames).argmax(dim=1).tolist()
            for key, guess in zip(batch.id, guesses):
                named[key] = hparams["labels"][guess]
    return predictions


def share_right(named, annotation):
    """Returns how many segments are named rightly, 0 to 1.

    Arguments
    ---------
    named : dict
        Id -> word.
    annotation : dict
        Id -> entry with `present`.

    Returns
    -------
    float
    """
    right = sum(named[key] in e["present"] for key, e in annotation.items())
    return right / len(annotation)


def bar(name, mean, values=()):
    """Returns a bar of the figure, in percent."""
    return {
        "name": name,
        "mean": 100 * mean,
        "interval": None,
        "values": [100 * value for value in values],
        "paper": None,
        "text": f"{100 * mean:.1f}",
    }


def report(runs, predictions, annotation, settings, facts, device):
    """Writes the report and prints Table 3's row.

    Arguments
    ---------
    runs : list of dict
        Of `finished_runs`.
    predictions : list of dict
        Of `predict`.
    annotation : dict
    settings : dict
    facts : dict
    device : str
    """
    shares = [share_right(named, annotation) for named in predictions]
    always = {
        word: share_right(dict.fromkeys(annotation, word), annotation)
        for word in settings["labels"]
    }
    models = [
        {
            "fold": run["fold"],
            "epoch": run["selected_epoch"],
            "accuracy": share,
            "named": {
                word: list(named.values()).count(word)
                for word in settings["labels"]
            },
        }
        for run, share, named in zip(runs, shares, predictions)
    ]
    summary = {
        "n": len(annotation),
        "mean": sum(shares) / len(shares),
        "min": min(shares),
        "max": max(shares),
        "always": max(always.values()),
    }
    title = (
        f"{settings['system']}, trained on {settings['trained_on']}, on "
        f"{settings['corpus']}"
    )
    folder = settings["output_folder"]
    plot_bars(
        os.path.join(folder, "figures", "accuracy.png"),
        [bar(settings["system"], summary["mean"], shares[len(shares) < 2 :])]
        + [bar(f"always {class_name(w)}", always[w]) for w in always],
        "accuracy (%)",
        title,
        "fold's model",
        100,
    )
    write_json(
        os.path.join(folder, "metrics.json"),
        facts
        | {
            "method": "MEnAN",
            "system": settings["system"],
            "trained_on": settings["trained_on"],
            "device": str(device),
            "models": models,
            "always_named": always,
            "metrics": {"evaluation": summary},
        },
    )
    plural = "s" if len(models) > 1 else ""
    print(f"\n{title}: {len(annotation)} segments, {len(models)} model{plural}")
    for model in models:
        print(
            f"fold {model['fold']:2d}  epoch {model['epoch']:3d}  accuracy "
            f"{100 * model['accuracy']:.2f} %"
        )
    print(
        "accuracy (%): "
        + ", ".join(f"{name} {100 * summary[name]:.2f}" for name in SHARES[:3])
    )
    best = max(always, key=always.get)
    print(f"whoever always says {best!r}: {100 * always[best]:.2f} %")
    print(f"report: {folder}")


if __name__ == "__main__":
    recipe.run(main, __file__)
