#!/usr/bin/env python3
"""Recipe for speech emotion recognition with LPMN on IEMOCAP.

A local prototypical mapping network maps the frames of an utterance onto a
codebook of prototypes, and keeps of each prototype the frame that is most like
it: where the emotion is heard. After training the prototypes that tell the
emotion are selected.

Reference: "An Effective Local Prototypical Mapping Network for Speech Emotion
Recognition", Xi et al. 2024.

To run it:
> python train_lpmn.py hparams/lpmn.yaml --data_folder IEMOCAP_full_release
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
from speechbrain_ser.data.frame_cache import cached_reader
from speechbrain_ser.experiment import recipe
from speechbrain_ser.experiment.plan import Plan
from speechbrain_ser.methods import lpmn_settings

PROTOCOL = "iemocap-5fold-loso@1"


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
    sizes = lpmn_settings.check_settings(settings)
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
    lpmn_settings.check_parts(parts, settings)
    return Plan(
        __file__,
        path,
        overrides,
        settings,
        parts,
        protocol,
        more_parts=lpmn_settings.selected_parts(sizes),
        files={"codebook": settings["codebook"]},
    )


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
    settings = planned.settings
    if if_main_process():
        print(f"{settings['corpus']}, {planned.protocol}")
        print(class_table(planned.parts, settings["labels"]), flush=True)
    parts, notes = recipe.shorten(
        planned.parts, settings["max_duration"], settings["long_utterances"]
    )
    hparams = recipe.load(planned.path, planned.overrides)
    facts = planned.claim(hparams["output_folder"], run_opts)
    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=planned.path,
        overrides=planned.overrides,
    )
    recipe.begin_log(notes)
    if not settings["skip_prep"] and if_main_process():
        for part, file in annotation_paths(settings).items():
            write_annotation(file, parts[part])

    brain, datasets = make_brain(hparams, run_opts, parts)
    brain.fit(
        hparams["epoch_counter"], datasets["train"], datasets.get("validation")
    )
    brain.report(
        datasets,
        facts
        | {
            "method": "LPMN",
            "system": settings["pooling"],
            "fold": settings["fold"],
        },
        f"{settings['pooling']} on {settings['corpus']}, fold "
        f"{settings['fold']}, seed {settings['seed']}",
    )


def make_brain(hparams, run_opts, parts):
    """Builds the Brain and the datasets; fills the cache of frames.

    Arguments
    ---------
    hparams : dict
    run_opts : RunOptions
    parts : dict
        Of `prepare`.

    Returns
    -------
    brain : LPMNBrain
    datasets : dict
        Part to dataset, without empty ones.
    """
    lpmn_settings.check_frames(hparams["encoder"], hparams["frame_dim"])
    read = None
    if hparams["cache"]:
        read = cached_reader(
            hparams["cache_folder"],
            hparams["encoder"],
            hparams["sample_rate"],
            parts,
            run_opts.device,
        )
    datasets = {
        name: make_dataset(
            part, hparams["labels"], hparams["sample_rate"], read
        )
        for name, part in parts.items()
        if part
    }
    brain = hparams["brain"](
        watched=datasets["evaluation"],
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
