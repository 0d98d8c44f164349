#!/usr/bin/env python3
"""Recipe for cross-lingual speech emotion recognition between RECOLA and IEMOCAP.

An emotion classifier learns on one language (the source) and is tested on
another one (the target), of which the training sees no labels. A language
classifier behind a gradient reversal keeps the encoder from telling the two
apart.

Reference: "Unsupervised Cross-Lingual Speech Emotion Recognition Using Domain
Adversarial Neural Network", Cai et al. 2021.

To run it:
> python train_dann.py hparams/dann.yaml --recola_folder RECOLA \
>     --iemocap_folder IEMOCAP_full_release
"""

import os

import speechbrain as sb
from speechbrain.utils.distributed import if_main_process, run_on_main

from speechbrain_ser.brain import SELECTIONS
from speechbrain_ser.corpora.annotations import (
    class_table,
    read_annotation,
    write_annotation,
)
from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
from speechbrain_ser.corpora.mini.recola import mini_recola
from speechbrain_ser.corpora.pairs import TASKS, two_classes
from speechbrain_ser.corpora.protocols import checks as protocols
from speechbrain_ser.corpora.protocols import named as named_protocols
from speechbrain_ser.corpora.recola import read_recola
from speechbrain_ser.data.dataset import (
    CLASS_WEIGHTS,
    class_weights,
    make_dataset,
    without_labels,
)
from speechbrain_ser.experiment import recipe
from speechbrain_ser.experiment.plan import Plan
from speechbrain_ser.lobes.domain_norm import WAYS
from speechbrain_ser.methods.dann import (
    PENALTIES,
    SOURCE,
    SYSTEMS,
    TARGET,
    fixed_features,
)
from speechbrain_ser.utils.audio import place
from speechbrain_ser.utils.audio_files import check_audio
from speechbrain_ser.utils.errors import InputError

# What must be given besides the mini corpora.
CORPUS_FOLDERS = ("recola_folder", "iemocap_folder")
# Direction to source and target.
DIRECTIONS = {
    "rec2iem": ("recola", "iemocap"),
    "iem2rec": ("iemocap", "recola"),
}
# The regularization for training on each corpus (section 4.1).
PAPER_PENALTIES = {"recola": "l1", "iemocap": "l2"}


def read_corpora(
    recola_folder,
    iemocap_folder,
    direction,
    task,
    recola_threshold,
    iemocap_threshold,
):
    """Reads both corpora, with two classes of one dimension.

    Arguments
    ---------
    recola_folder, iemocap_folder : str
    direction : str
        Of `DIRECTIONS`.
    task : str
        ``arousal`` or ``valence``.
    recola_threshold, iemocap_threshold : float
        See `two_classes`.

    Returns
    -------
    dict
        ``source`` and ``target`` -> annotation.
    """
    corpora = {}
    for corpus, read, folder, threshold in (
        ("recola", read_recola, recola_folder, recola_threshold),
        ("iemocap", read_all_of_iemocap, iemocap_folder, iemocap_threshold),
    ):
        try:
            annotation = read(folder)
        except InputError as error:
            named = str(error).replace("data_folder", f"--{corpus}_folder")
            raise InputError(named) from None
        corpora[corpus] = two_classes(annotation, task, threshold)
    source, target = DIRECTIONS[direction]
    return {"source": corpora[source], "target": corpora[target]}


def read_all_of_iemocap(data_folder):
    """Reads IEMOCAP, whatever the emotions: only the ratings are wanted."""
    return read_iemocap(data_folder, labels=None)


def read_own(source_annotation, target_annotation):
    """Reads annotations of one's own; the target's labels may be missing.

    Arguments
    ---------
    source_annotation, target_annotation : str

    Returns
    -------
    dict
        ``source`` and ``target`` -> annotation.
    """
    paths = {"source": source_annotation, "target": target_annotation}
    languages = {}
    for language, path in paths.items():
        if not os.path.isfile(path):
            raise InputError(
                f"there is no file {path}: give --{language}_annotation"
            )
        annotation = read_annotation(path, labelled=language == "source")
        languages[language] = check_audio(annotation)
    both = {place(e) for e in languages["source"].values()}
    for key, entry in languages["target"].items():
        if place(entry) in both:
            raise InputError(
                f"the utterance {key} of {target_annotation} is the same "
                f"speech as one of {source_annotation}: give two languages"
            )
    return languages


def read_languages(settings):
    """Reads what the settings name.

    Arguments
    ---------
    settings : dict

    Returns
    -------
    dict
        ``source`` and ``target`` -> annotation.
    """
    if settings["skip_prep"]:
        return recipe.prepared(
            read_own,
            source_annotation=settings["source_annotation"],
            target_annotation=settings["target_annotation"],
        )
    return recipe.prepared(
        read_corpora,
        recola_folder=settings["recola_folder"],
        iemocap_folder=settings["iemocap_folder"],
        direction=settings["direction"],
        task=settings["task"],
        recola_threshold=settings["recola_threshold"],
        iemocap_threshold=settings["iemocap_threshold"],
    )


def on_mini_corpora(overrides):
    """Turns a run without corpora into one on the mini corpora, and says so."""
    if if_main_process():
        recipe.say_once(
            "No --recola_folder and no --iemocap_folder: this runs on the "
            "embedded mini corpora, synthetic voices in two languages; its "
            "numbers say nothing about real speech."
        )
    run_on_main(mini_recola)
    run_on_main(mini_iemocap)
    return recipe.with_overrides(
        overrides,
        recola_folder=mini_recola(),
        iemocap_folder=mini_iemocap(),
        corpus="mini",
    )


def filled_in(path, overrides):
    """Checks the settings and fills in those that follow from others.

    Arguments
    ---------
    path : str
        The hparams file.
    overrides : str
        YAML.

    Returns
    -------
    str
        The overrides, with more of them.

    Raises
    ------
    InputError
        If a setting is not as it must be.
    """
    settings = recipe.peek(path, overrides)
    for name, choices in (
        ("system", SYSTEMS),
        ("batch_norm", WAYS),
        ("direction", DIRECTIONS),
        ("task", TASKS),
        ("development", ("target", "source")),
        ("class_weights", CLASS_WEIGHTS),
        ("model_selection", SELECTIONS),
    ):
        recipe.one_of(name, settings[name], choices)
    if settings["system"] != "dann":
        if settings["batch_norm"] not in ("bn1", "none"):
            raise InputError(
                f"--batch_norm {settings['batch_norm']} combines two languages "
                f"and --system {settings['system']} trains on one: give bn1, "
                "which is then plain batch norm, or none"
            )
    for name, kinds, least, most in (
        ("alpha", (int, float), 0, 1),
        ("beta", (int, float), 0, 1000000),
        ("batch_size", (int,), 2, 1000000),
        ("number_of_epochs", (int,), 1, 1000000),
        ("dropout", (int, float), 0, 0.99),
        ("penalty_weight", (int, float), 0, 1000000),
        ("recola_threshold", (int, float), -1000000, 1000000),
        ("iemocap_threshold", (int, float), -1000000, 1000000),
    ):
        value = settings[name]
        if type(value) not in kinds or not least <= value <= most:
            whole = "" if float in kinds else "whole "
            raise InputError(
                f"--{name} is {value!r}: give a {whole}number from {least} to "
                f"{most}"
            )
    if settings["cache_folder"] is None:
        raise InputError("the features need a folder: give --cache_folder")
    if not settings["skip_prep"]:
        missing = [name for name in CORPUS_FOLDERS if settings[name] is None]
        if len(missing) == 2:
            overrides = on_mini_corpora(overrides)
        elif missing:
            raise InputError(
                f"--{missing[0]} is missing: two languages are needed"
            )
    more = {}
    if settings["labels"] is None:
        more["labels"] = TASKS[settings["task"]]
    elif not isinstance(settings["labels"], list):
        raise InputError(
            f"--labels is {settings['labels']!r}: give a list in brackets, such "
            "as --labels '[low, high]'"
        )
    if settings["penalty"] is None:
        source, target = DIRECTIONS[settings["direction"]]
        trained = target if settings["system"] == "mono" else source
        more["penalty"] = PAPER_PENALTIES[trained]
    else:
        recipe.one_of("penalty", settings["penalty"], PENALTIES)
    return recipe.with_overrides(overrides, **more)


def check_labels(languages, settings):
    """Refuses a label that is none of the classes, and names its place.

    Arguments
    ---------
    languages : dict
        ``source`` and ``target`` -> annotation.
    settings : dict

    Raises
    ------
    InputError
    """
    for language, annotation in languages.items():
        for key, entry in annotation.items():
            word = entry.get("emotion")
            if word is not None and word not in settings["labels"]:
                raise InputError(
                    f"{settings[f'{language}_annotation']}: the utterance "
                    f"{key} has the emotion {word!r}, which is not among the "
                    f"labels {', '.join(settings['labels'])}: correct it, or "
                    "give --labels"
                )


def marked(annotation, domain):
    """Returns an annotation whose entries say their domain, 0 or 1."""
    return {key: e | {"domain": domain} for key, e in annotation.items()}


def split(languages, settings):
    """Splits two languages as the system needs it.

    Arguments
    ---------
    languages : dict
        ``source`` and ``target`` -> annotation.
    settings : dict

    Returns
    -------
    parts : dict
        ``train``, ``validation`` and ``evaluation`` and, if there are two
        languages, ``target``, all of it without labels, -> annotation.
    protocol : str
    """
    if settings["system"] == "mono":
        name = "mono-lingual@1"
        parts = named_protocols.split(
            name,
            {"target": marked(languages["target"], SOURCE)},
            mono_test_share=settings["mono_test_share"],
            mono_dev_share=settings["mono_dev_share"],
            split_by=settings["split_by"],
        )
    else:
        name = "cross-lingual@1"
        parts = named_protocols.split(
            name,
            {
                "source": marked(languages["source"], SOURCE),
                "target": marked(languages["target"], TARGET),
            },
            development=settings["development"],
            dev_share=settings["dev_share"],
            source_dev_share=settings["source_dev_share"],
            split_by=settings["split_by"],
        )
        hidden = without_labels(languages["target"])
        parts["target"] = marked(hidden, TARGET)
    if settings["skip_prep"]:
        return parts, f"{name} on annotations of one's own"
    return parts, named_protocols.full_name(name, settings)


def plan(path, overrides):
    """Checks the settings, reads the corpora and splits them.

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
        If a setting, a corpus or the split is not as it must be.
    """
    overrides = filled_in(path, overrides)
    settings = recipe.peek(path, overrides)
    languages = read_languages(settings)
    check_labels(languages, settings)
    parts, protocol = split(languages, settings)
    for name in ("train", "evaluation"):
        if parts[name]:
            protocols.check_classes(parts[name], settings["labels"], name)
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
    what = f"{settings['direction']}, {settings['task']}"
    if settings["skip_prep"]:
        what = "source to target"
    if if_main_process():
        print(f"{settings['corpus']}, {what}, {planned.protocol}")
        shown = {name: part for name, part in parts.items() if name != "target"}
        print(class_table(shown, settings["labels"]), flush=True)
        if settings["system"] == "dann":
            print(
                f"besides, without labels: all {len(parts['target'])} "
                "utterances of the target",
                flush=True,
            )
    hparams = recipe.load(planned.path, planned.overrides)
    facts = planned.claim(hparams["output_folder"], run_opts)
    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=planned.path,
        overrides=planned.overrides,
    )
    recipe.begin_log()
    if not settings["skip_prep"] and if_main_process():
        for language, annotation in read_languages(settings).items():
            write_annotation(settings[f"{language}_annotation"], annotation)

    named = {"direction": settings["direction"], "task": settings["task"]}
    if settings["skip_prep"]:
        named = {}
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
            "method": "DANN",
            "system": settings["system"],
            "batch_norm": settings["batch_norm"],
            "experiment": what,
        }
        | named,
        f"{settings['system']} ({settings['batch_norm']}), {what}, "
        f"{settings['corpus']}, seed {settings['seed']}",
    )


def make_brain(hparams, run_opts, parts):
    """Builds the Brain and the datasets; computes the features.

    Arguments
    ---------
    hparams : dict
    run_opts : RunOptions
    parts : dict
        Of `split`.

    Returns
    -------
    brain : DANNBrain
    datasets : dict
        Part to dataset, without empty ones; ``training`` is the source with its
        labels and, if the system learns from it, the target without.
    """
    read = fixed_features(
        parts,
        hparams["features"],
        [hparams["source_standardisation"], hparams["target_standardisation"]],
        hparams["cache_folder"],
        hparams["n_frames"],
        hparams["sample_rate"],
        run_opts.device,
    )

    def dataset(annotation):
        """Features, labels and domains of an annotation."""
        return make_dataset(
            annotation, hparams["labels"], read=read, numbers=["domain"]
        )

    learnt = ["train", "target"] if hparams["system"] == "dann" else ["train"]
    training = {
        f"{name}/{key}": entry
        for name in learnt
        for key, entry in parts[name].items()
    }
    reported = {
        name: parts[name] for name in ("train", "validation", "evaluation")
    }
    known = {place(e) for part in reported.values() for e in part.values()}
    # whose labels nobody knows: their predictions are what is wanted
    reported["target"] = {
        key: entry
        for key, entry in parts.get("target", {}).items()
        if place(entry) not in known
    }
    datasets = {"training": dataset(training)} | {
        name: dataset(part) for name, part in reported.items() if part
    }
    brain = hparams["brain"](
        watched=datasets.get("evaluation"),
        class_weights=class_weights(
            parts["train"], hparams["labels"], hparams["class_weights"]
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
