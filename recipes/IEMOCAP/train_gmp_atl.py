#!/usr/bin/env python3
"""Recipe for speech emotion recognition with GMP-ATL on IEMOCAP.

Three stages: HuBERT learns emotion and gender, and its frames are clustered at
several scales into pseudo-labels; HuBERT is retrained to predict the
pseudo-labels of masked frames; it is fine-tuned on utterance emotions with
AM-softmax. Each stage is kept and shared by all runs that need the same one.

Reference: "GMP-ATL: Gender-augmented Multi-scale Pseudo-label Enhanced Adaptive
Transfer Learning for Speech Emotion Recognition via HuBERT", Pan et al. 2024.

To run it:
> python train_gmp_atl.py hparams/gmp_atl.yaml --data_folder IEMOCAP_full_release
"""

import functools
import glob
import os
import shutil

import numpy as np
import speechbrain as sb
import torch
from speechbrain.utils.distributed import if_main_process, infer_device
from speechbrain.utils.logger import get_logger

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
from speechbrain_ser.data.frame_cache import FrameCache
from speechbrain_ser.data.pseudo_labels import PseudoLabels, make_pseudo_labels
from speechbrain_ser.evaluation.cluster_information import (
    cluster_information,
    cluster_sizes,
)
from speechbrain_ser.experiment import recipe
from speechbrain_ser.experiment.plan import Plan, code_version, hparams_content
from speechbrain_ser.experiment.stages import Stage, make_room, tell_changes
from speechbrain_ser.figures import plots
from speechbrain_ser.figures import pseudo_labels as label_plots
from speechbrain_ser.lobes.masked_prediction import PseudoLabelHeads
from speechbrain_ser.methods import gmp_settings
from speechbrain_ser.methods.gmp_atl import (
    FineTuningBrain,
    MultiTaskBrain,
    RetrainingBrain,
    make_classifier,
    most_frequent,
)
from speechbrain_ser.utils.audio import load_audio
from speechbrain_ser.utils.checkpoints import AtomicCheckpointer
from speechbrain_ser.utils.distributed import on_main
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import replacing

logger = get_logger(__name__)

PROTOCOL = "iemocap-5fold-loso@1"
DESCRIBED = 20000  # utterances at most that clusters are described by
DRAWN = 4.0  # seconds, about, of an utterance that is drawn
TITLES = {
    "multitask": "stage 1 (multi-task training)",
    "labels": "stage 1 (pseudo-labels)",
    "retrained": "stage 2 (retraining)",
}
NUMBERS = {"multitask": 1, "labels": 1, "retrained": 2}


def prepare(
    data_folder, labels, merge_excited, improvised_only, fold, **changes
):
    """Reads the corpus; one session is the evaluation part.

    Arguments
    ---------
    data_folder : str
    labels : list of str
    merge_excited, improvised_only : bool
        See `read_iemocap`.
    fold : int
        1 to 5: the session that is left out.
    **changes : dict
        Of the protocol.

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
    parts = named_protocols.split(PROTOCOL, annotation, fold, **changes)
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
    recipe.one_of("class_weights", settings["class_weights"], CLASS_WEIGHTS)
    recipe.one_of("model_selection", settings["model_selection"], SELECTIONS)
    files = {}
    if settings["label_folder"] is not None:
        files["label_folder"] = PseudoLabels(settings["label_folder"]).path
    gmp_settings.check_settings(settings)
    if settings["skip_prep"]:
        parts = recipe.read_parts(
            annotation_paths(settings), ("train", "evaluation")
        )
        protocol = "annotations of one's own"
    else:
        parts = recipe.prepared(
            prepare,
            data_folder=settings["data_folder"],
            labels=settings["labels"],
            merge_excited=settings["merge_excited"],
            improvised_only=settings["improvised_only"],
            fold=settings["fold"],
            valid_share=settings["valid_share"],
        )
        protocol = named_protocols.full_name(PROTOCOL, settings)
    protocols.check_classes(parts["train"], settings["labels"], "train")
    gmp_settings.check_parts(parts, settings)
    return Plan(
        __file__, path, overrides, settings, parts, protocol, files=files
    )


def main(path, run_opts, overrides):
    """Prepares, runs the stages and reports.

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
    if if_main_process():
        print(f"{settings['corpus']}, {planned.protocol}")
        print(class_table(planned.parts, settings["labels"]), flush=True)
    parts, notes = recipe.shorten(
        planned.parts, settings["max_duration"], settings["long_utterances"]
    )
    hparams = recipe.load(planned.path, planned.overrides)
    if settings["pseudo_labels"] == "on":
        check_labelling(hparams, parts)
    folder = hparams["output_folder"]
    if not run_opts.debug:
        own = (
            annotation_paths(settings).values() if settings["skip_prep"] else ()
        )
        on_main(make_room, folder, planned.claimed(run_opts), own)
    facts = planned.claim(folder, run_opts)
    sb.create_experiment_directory(
        experiment_directory=folder,
        hyperparams_to_save=planned.path,
        overrides=planned.overrides,
    )
    recipe.begin_log(notes)
    if not settings["skip_prep"] and if_main_process():
        for part, file in annotation_paths(settings).items():
            write_annotation(file, parts[part])

    wanted = gmp_settings.stages_of(settings["stages"])
    source, findings = hparams["ssl_source"], {}
    if settings["pseudo_labels"] == "on":
        heard = {name: parts[name] for name in ("train", "validation")}
        stages = make_stages(planned, run_opts, source)
        on_main(tell_changes, folder, list(stages.values()))
        makers = {"multitask": multitask, "labels": label, "retrained": retrain}
        for name, stage in stages.items():
            run_stage(
                stage,
                NUMBERS[name] in wanted and not run_opts.test_only,
                3 in wanted or NUMBERS[name] < max(wanted),
                functools.partial(
                    makers[name], hparams, run_opts, heard, stages
                ),
            )
        if 3 in wanted:
            source = stages["retrained"].path("encoder")
            findings["stages"] = {
                name: {"folder": stage.folder} | stage.facts()
                for name, stage in stages.items()
            }
            on_main(copy_figures, folder, stages.values())
    if 3 in wanted:
        fine_tune(hparams, run_opts, parts, source, facts, findings)
    elif if_main_process():
        later = ",".join(map(str, range(max(wanted) + 1, 4)))
        print(f"go on with --stages {later}")


def check_labelling(hparams, parts):
    """Refuses pseudo-labels that can't be made, or are not this run's.

    Arguments
    ---------
    hparams : dict
    parts : dict
        As they are trained on.

    Raises
    ------
    InputError
        Before anything is written.
    """
    source = hparams["ssl_source"]
    gmp_settings.check_drawn(hparams["drawn"], parts)
    if hparams["label_folder"] is not None:
        labels = PseudoLabels(hparams["label_folder"])
        labels.check(
            encoder=gmp_settings.source_digest(source), layer=hparams["layer"]
        )
        gmp_settings.check_labels(labels, parts)
        return
    encoder = hparams["encoder"](source=source)
    gmp_settings.check_layer(encoder, hparams["layer"], source)
    gmp_settings.check_frames(encoder, parts["train"], hparams)


def make_stages(planned, run_opts, source):
    """Returns the stages before the fine-tuning, with all that decides them.

    Nothing of the evaluation part is among it.

    Arguments
    ---------
    planned : Plan
    run_opts : RunOptions
    source : str
        The pre-trained model.

    Returns
    -------
    dict
        ``multitask``, ``labels`` (unless there is a `label_folder`) and
        ``retrained`` to `Stage`.
    """
    settings, stages = planned.settings, {}
    given = settings["label_folder"]
    content = planned.content(run_opts)
    heard = {name: planned.parts[name] for name in ("train", "validation")}
    labelled = heard["train"] | heard["validation"]
    shared = {
        "code": code_version(planned.script, planned.path),
        "run options": content["run_options"],
        "processes": content["processes"],
        "pre-trained model": gmp_settings.source_digest(source),
        "split": protocols.split_fingerprint(heard),
    }

    def add(name, without, **more):
        """Adds a stage whose result some settings do not decide."""
        free = [key for key in settings if key.startswith(without)]
        free += ["fold", "model_selection"] if name != "multitask" else ["fold"]
        held = hparams_content(
            planned.path,
            recipe.with_overrides(planned.overrides, **dict.fromkeys(free)),
            settings,
        )
        stages[name] = Stage(
            settings["stages_folder"],
            name,
            TITLES[name],
            held | shared | more,
        )

    later = gmp_settings.OF_RETRAINING + gmp_settings.OF_FINETUNING
    earlier = gmp_settings.OF_MULTITASK + gmp_settings.OF_LABELS
    if given is None:
        add(
            "multitask",
            gmp_settings.OF_LABELS + later,
            genders=gmp_settings.genders_digest(labelled),
        )
        previous = stages["multitask"].key
        add("labels", gmp_settings.OF_MULTITASK + later, previous=previous)
        previous = stages["labels"].key
    else:
        previous = content["files"]["label_folder"]
    add(
        "retrained",
        earlier + gmp_settings.OF_FINETUNING,
        previous=previous,
    )
    return stages


def run_stage(stage, wanted, needed, make):
    """Makes a stage, unless it is there.

    Arguments
    ---------
    stage : Stage
    wanted : bool
        Whether it may be made.
    needed : bool
        Whether a later stage needs it.
    make : callable
        Makes it; returns its facts.

    Raises
    ------
    InputError
        If it is needed, not there and not to be made.
    """
    if not wanted:
        if needed and not stage.done():
            raise InputError(
                f"{stage.title} is not there with these settings (no whole "
                f"{stage.folder}): run it as well, --stages 1,2,3"
            )
        return
    with stage.making() as missing:
        if if_main_process():
            begun = set(os.listdir(stage.folder)) - {"lock"}
            state = "goes on" if begun else "begins"
            state = state if missing else "is there"
            print(f"{stage.title} {state}: {stage.folder}", flush=True)
        if missing:
            stage.finish(make())
    if if_main_process():
        tell(stage.facts())


def tell(facts):
    """Prints what a user wants to know of a stage."""
    for kind, scales in facts.get("information", {}).items():
        shares = ", ".join(
            f"{size}: {held['nmi']:.3f} (chance {held['chance']:.3f})"
            for size, held in scales.items()
        )
        print(
            f"  normalised mutual information with the {kind}, by clusters: {shares}"
        )
    frequent = facts.get("most_frequent", {}) if "epoch" in facts else {}
    for size, share in frequent.items():
        part = "valid_" if f"valid_masked_accuracy_{size}" in facts else ""
        accuracy = facts[f"{part}masked_accuracy_{size}"]
        print(
            f"  {size} clusters: {100 * accuracy:.1f} % of the masked frames "
            f"predicted, most frequent label {100 * share:.1f} %"
        )
    if "valid_UA" in facts:
        print(
            f"  epoch {facts['epoch']}, validation: UA of the emotion "
            f"{100 * facts['valid_UA']:.1f} %"
        )


def brain_settings(hparams, run_opts, folder, modules, epochs, lr):
    """Returns what the Brains of all stages are given; seeds them alike.

    Arguments
    ---------
    hparams : dict
    run_opts : RunOptions
    folder : str
        Of the stage.
    modules : dict
    epochs : int
    lr : float

    Returns
    -------
    counter : EpochCounter
    settings : dict
    """
    counter = sb.utils.epoch_loop.EpochCounter(epochs)
    recoverables = modules | {"counter": counter}
    return counter, {
        "labels": hparams["labels"],
        "output_folder": folder,
        "batch_size": hparams["batch_size"],
        "seed": hparams["seed"],
        "final_lr": hparams["final_lr"],
        "eval_batch_size": hparams["eval_batch_size"],
        "num_workers": hparams["num_workers"],
        "modules": modules,
        "opt_class": functools.partial(hparams["opt_class"], lr=lr),
        "hparams": hparams,
        "run_opts": run_opts,
        "checkpointer": AtomicCheckpointer(
            os.path.join(folder, "save"), recoverables
        ),
    }


def make_multitask(hparams, run_opts, parts, folder):
    """Builds the Brain of stage 1.

    Arguments
    ---------
    hparams : dict
    run_opts : RunOptions
    parts : dict
        ``train`` and ``validation``.
    folder : str
        Of the stage.

    Returns
    -------
    counter : EpochCounter
    brain : MultiTaskBrain
    datasets : dict
    """
    sb.utils.seed.seed_everything(hparams["seed"])
    encoder = hparams["encoder"](source=hparams["ssl_source"])
    genders = gmp_settings.genders_of(
        parts["train"] | parts["validation"], hparams["alpha_e"]
    )
    size = hparams["embedding_size"]
    modules = {
        "encoder": encoder,
        "head": hparams["head"](input_size=encoder.dim),
        "emotion": torch.nn.Linear(size, len(hparams["labels"])),
        "gender": torch.nn.Linear(size, len(genders)),
    }
    counter, settings = brain_settings(
        hparams,
        run_opts,
        folder,
        modules,
        hparams["multitask_epochs"],
        hparams["multitask_lr"],
    )
    index = {word: i for i, word in enumerate(genders)}
    datasets = {
        name: make_dataset(
            part,
            hparams["labels"],
            hparams["sample_rate"],
            more={"gender": lambda _, entry: index.get(entry.get("gender"), 0)},
        )
        for name, part in parts.items()
        if part
    }
    brain = MultiTaskBrain(
        alpha_e=hparams["alpha_e"],
        genders=genders,
        selection=hparams["model_selection"],
        class_weights=class_weights(
            parts["train"], hparams["labels"], hparams["class_weights"]
        ),
        **settings,
    )
    return counter, brain, datasets


def multitask(hparams, run_opts, parts, stages):
    """Stage 1: trains on emotion and gender; keeps the encoder."""
    stage = stages["multitask"]
    counter, brain, datasets = make_multitask(
        hparams, run_opts, parts, stage.folder
    )
    brain.fit(counter, datasets["train"], datasets.get("validation"))
    epoch = brain.load_selected()
    encoder = brain.checkpointer.recoverables["encoder"]
    on_main(encoder.export, stage.path("encoder"))
    rows = [row for row in brain.history.rows if row["epoch"] == epoch]
    return {"epoch": epoch, "wall_seconds": brain.wall_seconds()} | {
        name: value
        for name, value in rows[0].items()
        if name.startswith(("train_", "valid_"))
    }


def label(hparams, run_opts, parts, stages):
    """Stage 1: clusters the frames of a layer at several scales."""
    stage, trained = stages["labels"], stages["multitask"]
    encoder = hparams["encoder"](
        source=trained.path("encoder"), layer=hparams["layer"], frozen=True
    )
    labelled = parts["train"] | parts["validation"]
    cache = FrameCache(hparams["cache_folder"], encoder, hparams["sample_rate"])
    computed = cache.fill(labelled, encoder, run_opts.device or infer_device())
    logger.info(
        f"frames of layer {hparams['layer']}: {computed} utterances computed, "
        f"{len(labelled) - computed} were in {cache.folder}"
    )
    on_main(
        functools.partial(
            make_pseudo_labels,
            stage.folder,
            cache,
            fitted=parts["train"],
            labelled=labelled,
            sizes=gmp_settings.clusters_of(hparams["clusters"]),
            seed=hparams["seed"],
            max_frames=hparams["kmeans_frames"],
            memory=hparams["kmeans_memory"],
            about={
                "encoder": gmp_settings.source_digest(hparams["ssl_source"]),
                "layer": hparams["layer"],
                "corpus": hparams["corpus"],
                "speakers": speakers(labelled),
            },
            show=not run_opts.noprogressbar,
        )
    )
    labels = PseudoLabels(stage.folder)
    information, sizes = describe(labels, parts["train"])
    title = f"pseudo-labels of layer {hparams['layer']}, train part"
    path = stage.path("figures", "clusters.png")
    on_main(label_plots.plot_clusters, path, sizes, information, title)
    return {
        "layer": hparams["layer"],
        "information": information,
        "most_frequent": most_frequent(labels, parts["train"]),
        "empty": {
            size: int((counts == 0).sum()) for size, counts in sizes.items()
        },
    }


def speakers(annotation):
    """Returns the speakers of an annotation that names them."""
    named = {entry.get("speaker") for entry in annotation.values()}
    return sorted(named - {None})


def describe(labels, annotation):
    """Says how much the clusters tell of emotion and gender.

    Arguments
    ---------
    labels : PseudoLabels
    annotation : dict
        The train part; of a very large one every so many utterances.

    Returns
    -------
    information : dict
        ``emotion``, and ``gender`` if known, to scale to
        `cluster_information`.
    sizes : dict
        Scale to the number of frames of each cluster.
    """
    keys = list(annotation)[:: len(annotation) // DESCRIBED + 1]
    held = [labels.read(key).numpy().astype(np.uint16) for key in keys]
    utterances = np.repeat(np.arange(len(held)), [len(x) for x in held])
    held = np.concatenate(held)
    information, sizes = {}, {}
    for name in ("emotion", "gender"):
        words = [annotation[key].get(name) for key in keys]
        if len(set(words) - {None}) > 1:
            information[name] = {
                size: cluster_information(held[:, i], utterances, words)
                for i, size in enumerate(labels.sizes)
            }
    for i, size in enumerate(labels.sizes):
        sizes[size] = cluster_sizes(held[:, i], size)
    return information, sizes


def make_retraining(hparams, run_opts, parts, labels, source, folder):
    """Builds the Brain of stage 2.

    Arguments
    ---------
    hparams : dict
    run_opts : RunOptions
    parts : dict
        ``train`` and ``validation``.
    labels : PseudoLabels
    source : str
        The encoder that is retrained.
    folder : str
        Of the stage.

    Returns
    -------
    counter : EpochCounter
    brain : RetrainingBrain
    datasets : dict
    """
    sb.utils.seed.seed_everything(hparams["seed"])
    encoder = hparams["encoder"](source=source, mask_embedding=True)
    modules = {
        "encoder": encoder,
        "heads": PseudoLabelHeads(
            encoder.dim, hparams["retraining_head_size"], labels.sizes
        ),
    }
    counter, settings = brain_settings(
        hparams,
        run_opts,
        folder,
        modules,
        hparams["retraining_epochs"],
        hparams["retraining_lr"],
    )
    datasets = {
        name: make_dataset(
            part,
            hparams["labels"],
            hparams["sample_rate"],
            more={"frame_labels": lambda key, _: labels.read(key)},
        )
        for name, part in parts.items()
        if part
    }
    brain = RetrainingBrain(
        encoder=encoder,
        sizes=labels.sizes,
        mask_prob=hparams["mask_prob"],
        mask_length=hparams["mask_length"],
        mask_min_spans=hparams["mask_min_spans"],
        **settings,
    )
    return counter, brain, datasets


def retrain(hparams, run_opts, parts, stages):
    """Stage 2: masked prediction of the pseudo-labels; keeps the encoder."""
    stage = stages["retrained"]
    labels = PseudoLabels(hparams["label_folder"] or stages["labels"].folder)
    source = hparams["ssl_source"]
    if hparams["retraining_start"] == "multitask":
        source = stages["multitask"].path("encoder")
    counter, brain, datasets = make_retraining(
        hparams, run_opts, parts, labels, source, stage.folder
    )
    brain.fit(counter, datasets["train"], datasets.get("validation"))
    brain.load_selected()
    on_main(brain.encoder.export, stage.path("encoder"))
    judged = parts["validation"] or parts["train"]
    frequent = most_frequent(labels, judged)
    on_main(
        label_plots.plot_masked_accuracy,
        stage.path("figures", "masked_prediction.png"),
        brain.history.rows,
        labels.sizes,
        frequent,
        "retraining with pseudo-labels",
    )
    last = brain.history.rows[-1]
    return {
        "epoch": last["epoch"],
        "wall_seconds": brain.wall_seconds(),
        "most_frequent": frequent,
    } | {name: value for name, value in last.items() if "masked" in name}


def copy_figures(folder, stages):
    """Copies the stages' pictures to the report's."""
    for stage in stages:
        for path in glob.glob(stage.path("figures", "*.png")):
            target = os.path.join(folder, "figures", os.path.basename(path))
            with replacing(target) as beside:
                shutil.copyfile(path, beside)


def make_fine_tuning(hparams, run_opts, parts, source, findings):
    """Builds the Brain of stage 3.

    Arguments
    ---------
    hparams : dict
    run_opts : RunOptions
    parts : dict
    source : str
        The encoder that is fine-tuned.
    findings : dict
        What the report says of the earlier stages.

    Returns
    -------
    counter : EpochCounter
    brain : FineTuningBrain
    datasets : dict
        Part to dataset, without empty ones.
    """
    sb.utils.seed.seed_everything(hparams["seed"])
    encoder = hparams["encoder"](source=source)
    classifier, loss = make_classifier(
        hparams["loss"],
        hparams["embedding_size"],
        len(hparams["labels"]),
        hparams["margin"],
        hparams["scale"],
    )
    modules = {
        "encoder": encoder,
        "head": hparams["head"](input_size=encoder.dim),
        "classifier": classifier,
    }
    counter, settings = brain_settings(
        hparams,
        run_opts,
        hparams["output_folder"],
        modules,
        hparams["finetuning_epochs"],
        hparams["finetuning_lr"],
    )
    datasets = {
        name: make_dataset(part, hparams["labels"], hparams["sample_rate"])
        for name, part in parts.items()
        if part
    }
    brain = FineTuningBrain(
        loss=loss,
        facts=findings,
        selection=hparams["model_selection"],
        watched=datasets["evaluation"],
        watched_epochs=hparams["watched_epochs"],
        speaker_probe=hparams["speaker_probe"],
        class_weights=class_weights(
            parts["train"], hparams["labels"], hparams["class_weights"]
        ),
        **settings,
    )
    return counter, brain, datasets


def fine_tune(hparams, run_opts, parts, source, facts, findings):
    """Stage 3: fine-tunes, evaluates and reports.

    Arguments
    ---------
    hparams : dict
    run_opts : RunOptions
    parts : dict
    source : str
        The encoder that is fine-tuned.
    facts : dict
        Of the plan.
    findings : dict
        Of the earlier stages.
    """
    if if_main_process():
        print("stage 3 (fine-tuning)", flush=True)
    counter, brain, datasets = make_fine_tuning(
        hparams, run_opts, parts, source, findings
    )
    brain.fit(counter, datasets["train"], datasets.get("validation"))
    with_labels = hparams["pseudo_labels"] == "on"
    system = f"{hparams['loss']} without pseudo-labels"
    if with_labels:
        system = (
            f"{hparams['loss']} with pseudo-labels of layer {hparams['layer']}"
        )
    brain.report(
        datasets,
        facts
        | {"method": "GMP-ATL", "system": system, "fold": hparams["fold"]},
        f"{system} on {hparams['corpus']}, fold {hparams['fold']}, seed "
        f"{hparams['seed']}",
    )
    if with_labels and if_main_process():
        draw_labels(hparams, parts, findings)


def draw_labels(hparams, parts, findings):
    """Draws pseudo-labels over time: those of `drawn`, or one a class."""
    made = findings["stages"].get("labels", {}).get("folder")
    folder = hparams["label_folder"] or made
    labels = PseudoLabels(folder)
    labelled = parts["train"] | parts["validation"]
    drawn = recipe.words_of(hparams["drawn"])
    if not drawn:
        train = parts["train"]
        drawn = [
            min(
                (key for key in train if train[key]["emotion"] == word),
                key=lambda key: (abs(train[key]["duration"] - DRAWN), key),
            )
            for word in hparams["labels"]
        ]
    for key in drawn:
        emotion = labelled[key]["emotion"]
        label_plots.plot_labels_over_time(
            os.path.join(
                hparams["output_folder"], "figures", f"labels_{key}.png"
            ),
            load_audio(labelled[key], hparams["sample_rate"]).numpy(),
            hparams["sample_rate"],
            labels.read(key).numpy(),
            labels.sizes,
            f"pseudo-labels of {key} ({plots.class_name(emotion)})",
        )


if __name__ == "__main__":
    recipe.run(main, __file__)
