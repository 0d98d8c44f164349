#!/usr/bin/env python3
"""Recipe for speech emotion recognition that forgets the speaker, on IEMOCAP.

A speaker classifier learns to name the speaker from an embedding of emotion;
the encoder learns to tell the emotion while the speaker classifier holds all
speakers for equally likely.

Reference: "Speaker-Invariant Affective Representation Learning via Adversarial
Training", Li et al. 2020.

To run it:
> python train_menan.py hparams/menan.yaml --data_folder IEMOCAP_full_release
"""

import speechbrain as sb
from speechbrain.utils.distributed import if_main_process

from speechbrain_ser.brain import SELECTIONS
from speechbrain_ser.corpora.annotations import class_table, write_annotation
from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
from speechbrain_ser.corpora.protocols import checks as protocols
from speechbrain_ser.corpora.protocols import named as named_protocols
from speechbrain_ser.data.dataset import (
    CLASS_WEIGHTS,
    class_weights,
    make_dataset,
)
from speechbrain_ser.experiment import recipe
from speechbrain_ser.experiment.plan import Plan
from speechbrain_ser.methods.menan import SYSTEMS, framed_features
from speechbrain_ser.utils.audio import with_speeds
from speechbrain_ser.utils.errors import InputError

PROTOCOL = "iemocap-10fold-loso@1"
# Of menan, where the settings leave it open: the learning rate of SC and lambda.
# The others have the paper's.
MENAN_SPEAKER_RATE = 0.003
MENAN_EMOTION_WEIGHT = 0.7


def prepare(data_folder, labels, merge_excited, improvised_only, fold):
    """Reads the corpus; one speaker is the evaluation part.

    Arguments
    ---------
    data_folder : str
    labels : list of str
    merge_excited, improvised_only : bool
        See `read_iemocap`.
    fold : int
        From 1: the speaker who is left out.

    Returns
    -------
    dict
        ``train``, ``validation`` and ``evaluation``, each an annotation.
    """
    annotation = read_iemocap(
        data_folder,
        merge_excited=merge_excited,
        labels=labels,
        improvised_only=improvised_only,
    )
    parts = named_protocols.split(PROTOCOL, annotation, fold)
    return {
        "train": parts["train"],
        "validation": parts["valid"],
        "evaluation": parts["test"],
    }


def annotation_paths(settings):
    """Returns where the annotation of each part lies."""
    return {
        "train": settings["train_annotation"],
        "validation": settings["valid_annotation"],
        "evaluation": settings["test_annotation"],
    }


def check_settings(settings):
    """Refuses a setting that is not as it must be.

    Arguments
    ---------
    settings : dict

    Raises
    ------
    InputError
    """
    for name, choices in (
        ("system", SYSTEMS),
        ("class_weights", CLASS_WEIGHTS),
        ("model_selection", SELECTIONS),
    ):
        recipe.one_of(name, settings[name], choices)
    for name, kinds, least, most in (
        ("number_of_epochs", (int,), 1, 1000000),
        ("batch_size", (int,), 2, 1000000),
        ("emotion_weight", (int, float), 0, 1),
        ("speaker_steps", (int,), 1, 1000000),
        ("speaker_memory", (int,), 0, 1000000000),
        ("speaker_batch_size", (int,), 2, 1000000),
        ("lr", (int, float), 1e-12, 1000),
        ("lr_speaker", (int, float), 1e-12, 1000),
        ("lr_power", (int, float), 0, 100),
        ("speaker_noise", (int, float), 0, 1000),
        ("reversal_scale", (int, float), 0, 1000000),
        ("duration", (int, float), 0.3, 3600),
    ):
        value = settings[name]
        if type(value) not in kinds or not least <= value <= most:
            whole = "" if float in kinds else "whole "
            raise InputError(
                f"--{name} is {value!r}: give a {whole}number from {least} to "
                f"{most}"
            )
    for name in ("ramp", "standardise", "speaker_probe"):
        if not isinstance(settings[name], bool):
            raise InputError(
                f"--{name} is {settings[name]!r}: give True or False"
            )
    if not isinstance(settings["labels"], list):
        raise InputError(
            f"--labels is {settings['labels']!r}: give a list in brackets, such "
            "as --labels '[ang, sad]'"
        )
    speeds = settings["speeds"]
    if not isinstance(speeds, list) or not all(
        type(speed) in (int, float) and 0.25 <= speed <= 4 and speed != 1
        for speed in speeds
    ):
        raise InputError(
            f"--speeds is {speeds!r}: give a list in brackets of numbers from "
            "0.25 to 4 other than 1, such as '[0.9, 1.1]', or '[]' for none"
        )
    if settings["cache_folder"] is None:
        raise InputError("the features need a folder: give --cache_folder")


def check_labels(parts, settings):
    """Refuses a label of one's own that is none of the classes.

    Arguments
    ---------
    parts : dict
        Part to annotation.
    settings : dict

    Raises
    ------
    InputError
    """
    for part, path in annotation_paths(settings).items():
        for key, entry in parts[part].items():
            if entry["emotion"] not in settings["labels"]:
                raise InputError(
                    f"{path}: the utterance {key} has the emotion "
                    f"{entry['emotion']!r}, which is not among the labels "
                    f"{', '.join(settings['labels'])}: correct it, or give "
                    "--labels"
                )


def training_speakers(train, path):
    """Returns the names of the speakers who train, sorted.

    Arguments
    ---------
    train : dict
        Annotation.
    path : str
        Where it comes from, for the error.

    Returns
    -------
    list of str

    Raises
    ------
    InputError
        If an utterance has no speaker, or there is one speaker alone.
    """
    for key, entry in train.items():
        if entry.get("speaker") is None:
            raise InputError(
                f"{path}: the utterance {key} has no speaker: add it, since "
                "the speakers are what is to be forgotten"
            )
    speakers = sorted({entry["speaker"] for entry in train.values()})
    if len(speakers) < 2:
        raise InputError(
            f"{path}: all utterances that train are of the speaker "
            f"{speakers[0]}: at least two speakers are needed"
        )
    return speakers


def plan(path, overrides):
    """Checks the settings, reads the corpus and splits it.

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
        If a setting, the corpus or the split is not as it must be.
    """
    settings = recipe.peek(path, overrides)
    if settings["data_folder"] is None and not settings["skip_prep"]:
        path, overrides = recipe.on_mini_corpus(
            path,
            overrides,
            settings["mini_hparams"],
            settings["corpus"],
            __file__,
            mini_iemocap,
        )
        settings = recipe.peek(path, overrides)
    ours = settings["system"] == "menan"
    for name, value in (
        ("lr_speaker", MENAN_SPEAKER_RATE if ours else settings["lr"]),
        ("emotion_weight", MENAN_EMOTION_WEIGHT if ours else 0.5),
    ):
        if settings[name] is None:
            overrides = recipe.with_overrides(overrides, **{name: value})
    settings = recipe.peek(path, overrides)
    check_settings(settings)
    if settings["skip_prep"]:
        parts = recipe.read_parts(
            annotation_paths(settings), ("train", "evaluation")
        )
        check_labels(parts, settings)
        recipe.check_selection(parts, settings)
        protocol = "annotations of one's own"
    else:
        parts = recipe.prepared(
            prepare,
            data_folder=settings["data_folder"],
            labels=settings["labels"],
            merge_excited=settings["merge_excited"],
            improvised_only=settings["improvised_only"],
            fold=settings["fold"],
        )
        protocol = named_protocols.full_name(PROTOCOL, settings)
    protocols.check_classes(parts["train"], settings["labels"], "train")
    speakers = training_speakers(parts["train"], settings["train_annotation"])
    overrides = recipe.with_overrides(overrides, n_speakers=len(speakers))
    settings = recipe.peek(path, overrides)
    return Plan(__file__, path, overrides, settings, parts, protocol)


def main(path, run_opts, overrides):
    """Prepares, trains, evaluates and reports.

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
    settings, parts = planned.settings, planned.parts
    if if_main_process():
        print(f"{settings['corpus']}, {planned.protocol}")
        print(class_table(parts, settings["labels"]), flush=True)
    hparams = recipe.load(planned.path, planned.overrides)
    facts = planned.claim(hparams["output_folder"], run_opts)
    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=planned.path,
        overrides=planned.overrides,
    )
    recipe.begin_log()
    if not settings["skip_prep"] and if_main_process():
        for part, file in annotation_paths(settings).items():
            write_annotation(file, parts[part])

    brain, datasets = make_brain(hparams, run_opts, parts)
    brain.fit(
        hparams["epoch_counter"],
        datasets.pop("training"),
        datasets.get("validation"),
    )
    brain.report(
        datasets,
        facts
        | {
            "method": "MEnAN",
            "system": settings["system"],
            "fold": settings["fold"],
        },
        f"{settings['system']} on {settings['corpus']}, fold "
        f"{settings['fold']}, seed {settings['seed']}",
    )


def make_brain(hparams, run_opts, parts):
    """Builds the Brain and the datasets; computes the features.

    Arguments
    ---------
    hparams : dict
    run_opts : RunOptions
    parts : dict
        Of `prepare`.

    Returns
    -------
    brain : MEnANBrain
    datasets : dict
        Part to dataset, without empty ones; ``training`` is the training part
        with its copies at other speeds.
    """
    training = with_speeds(parts["train"], hparams["speeds"])
    every = {"training": training} | {k: p for k, p in parts.items() if p}
    features = hparams["features"]
    read = framed_features(
        every,
        features,
        hparams["standardisation"],
        hparams["cache_folder"],
        hparams["sample_rate"],
        int(
            features.count_frames(hparams["duration"] * hparams["sample_rate"])
        ),
        run_opts.device,
    )
    speakers = training_speakers(training, hparams["train_annotation"])
    number = {speaker: i for i, speaker in enumerate(speakers)}
    # those who don't train have none
    more = {"speaker": lambda key, entry: number.get(entry.get("speaker"), -1)}
    datasets = {
        name: make_dataset(
            annotation,
            hparams["labels"],
            hparams["sample_rate"],
            read,
            more=more,
        )
        for name, annotation in every.items()
    }
    brain = hparams["brain"](
        watched=datasets["evaluation"],
        class_weights=class_weights(
            training, hparams["labels"], hparams["class_weights"]
        ),
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    return brain, datasets


if __name__ == "__main__":
    recipe.run(main, __file__)
