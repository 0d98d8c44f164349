#!/usr/bin/env python3
"""Learns a codebook for LPMN from speech without labels.

The prototypes are learnt by the quantization loss alone (Eq. 1), from the frames
of a frozen encoder: from any folder of audio, or from annotations, whose
emotions are not read. The result is the `codebook` of train_lpmn.py, whatever
the corpus.

Reference: "An Effective Local Prototypical Mapping Network for Speech Emotion
Recognition", Xi et al. 2024, sections 2 and 3.1.

To run it:
> python train_codebook.py hparams/codebook.yaml --audio_folder recordings
> python train_lpmn.py hparams/lpmn.yaml --data_folder IEMOCAP_full_release \
    --codebook results/codebook/unlabelled/1024/1/codebook.ckpt
"""

import os

import speechbrain as sb
import torch
from speechbrain.utils.distributed import if_main_process

from speechbrain_ser.corpora.annotations import read_annotation
from speechbrain_ser.corpora.unlabelled import read_folder
from speechbrain_ser.data.dataset import make_dataset, without_labels
from speechbrain_ser.data.frame_cache import cached_reader
from speechbrain_ser.experiment import recipe
from speechbrain_ser.experiment.plan import Plan
from speechbrain_ser.figures import plots
from speechbrain_ser.methods.lpmn import CodebookBrain
from speechbrain_ser.methods.lpmn_settings import check_frames
from speechbrain_ser.utils.audio import check_audio
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import replacing, write_json


def plan(path, overrides):
    """Checks the settings and reads the speech.

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
        If there is no speech, or two sources of it.
    """
    settings = recipe.peek(path, overrides)
    folder, file = settings["audio_folder"], settings["train_annotation"]
    if (folder is None) == (file is None):
        raise InputError(
            "the codebook needs speech: give --audio_folder (any folder of "
            "audio) or --train_annotation (a JSON file; labels are not needed)"
        )
    if folder is not None:
        annotation = read_folder(folder)
    else:
        annotation = check_audio(read_annotation(file, labelled=False))
    parts = {"train": without_labels(annotation)}
    return Plan(__file__, path, overrides, settings, parts, "unlabelled speech")


def main(path, run_opts, overrides):
    """Reads the speech, learns the prototypes and writes them.

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
    parts, notes = recipe.shorten(
        planned.parts, settings["max_duration"], "split"
    )
    hparams = recipe.load(planned.path, planned.overrides)
    facts = planned.claim(hparams["output_folder"], run_opts)
    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=planned.path,
        overrides=planned.overrides,
    )
    recipe.begin_log(notes)
    check_frames(hparams["encoder"], hparams["frame_dim"])
    read = None
    if hparams["cache"]:
        read = cached_reader(
            hparams["cache_folder"],
            hparams["encoder"],
            hparams["sample_rate"],
            parts,
            run_opts.device,
        )
    brain = CodebookBrain(
        codebook=hparams["prototypes"],
        reseed_dead=hparams["reseed_dead"],
        labels=hparams["labels"],
        output_folder=hparams["output_folder"],
        batch_size=hparams["batch_size"],
        seed=hparams["seed"],
        final_lr=hparams["final_lr"],
        selection="last",
        eval_batch_size=hparams["eval_batch_size"],
        num_workers=hparams["num_workers"],
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    train = make_dataset(
        parts["train"], hparams["labels"], hparams["sample_rate"], read
    )
    brain.fit(hparams["epoch_counter"], train)
    brain.load_selected()
    if if_main_process():
        write_codebook(brain, hparams["output_folder"], facts)


def write_codebook(brain, folder, facts):
    """Writes the prototypes, the curves and what they come from.

    Arguments
    ---------
    brain : CodebookBrain
    folder : str
    facts : dict
        Of the plan.
    """
    rows = brain.history.rows
    plots.plot_curves(
        brain.figure("curves"),
        rows,
        [
            ("quantization loss (Eq. 1)", {"train_loss": "training"}),
            (
                "prototypes",
                {"used_prototypes": "used", "perplexity": "perplexity"},
            ),
        ],
        "codebook",
    )
    path = os.path.join(folder, "codebook.ckpt")
    with replacing(path) as beside:
        torch.save(
            {"prototypes": brain.codebook.prototypes.detach().cpu()}, beside
        )
    write_json(
        os.path.join(folder, "codebook.json"),
        facts | {"wall_seconds": brain.wall_seconds(), "last_epoch": rows[-1]},
    )
    print(
        f"codebook: {path} ({rows[-1]['used_prototypes']:.0f} of "
        f"{len(brain.codebook.prototypes)} prototypes used, perplexity "
        f"{rows[-1]['perplexity']:.1f})"
    )


if __name__ == "__main__":
    recipe.run(main, __file__)
