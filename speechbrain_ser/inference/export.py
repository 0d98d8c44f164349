"""``ser-export``: from a run's folder to a portable model folder."""

import argparse
import json
import os
import shutil
import sys

from speechbrain_ser.inference.known import known_of
from speechbrain_ser.utils.errors import InputError

FIGURES = ("confusion", "reliability")


def export(
    run,
    folder,
    name=None,
    with_encoder=False,
    encoder_folder=None,
    encoder_name=None,
):
    """Writes a run's model as a portable folder.

    Arguments
    ---------
    run : str
        A trained run's ``output_folder``; its YAML is loaded, which runs code.
    folder : str
        Is not there yet, or empty.
    name : str, optional
        Of the model.
    with_encoder : bool
        Whether a frozen pre-trained encoder is copied too; one that was trained
        always is.
    encoder_folder : str, optional
        Where the run's pre-trained encoder lies now.
    encoder_name : str, optional
        Its name on the hub, where the run had a folder.

    Returns
    -------
    dict
        What ``config.json`` says.

    Raises
    ------
    InputError
        If there is no trained run, its model is of parts that a folder can't
        hold, or there is something in the folder.
    """
    from speechbrain_ser.experiment.evaluate import check_outside
    from speechbrain_ser.inference.from_run import trained_run
    from speechbrain_ser.inference.tensors import speech_model_of

    check_free(folder)
    check_outside(run, folder)
    trained = trained_run(run, encoder_folder, device="cpu")
    _, encoder = speech_model_of(trained.model)
    config = config_of(trained, run, encoder, encoder_name, with_encoder)
    if name is not None:
        config["name"] = name
    write_folder(folder, config, trained.model, encoder, run)
    return config


def check_free(folder):
    """Refuses to write over anything."""
    if os.path.lexists(folder) and (
        not os.path.isdir(folder) or os.listdir(folder)
    ):
        raise InputError(
            f"{folder} is there already: give a folder that is not, or delete "
            "it"
        )


def config_of(trained, run, encoder=None, encoder_name=None, copied=False):
    """Returns what ``config.json`` says of a run's model.

    Arguments
    ---------
    trained : TrainedRun
    run : str
    encoder : SpeechModel or None
        That of the model.
    encoder_name : str, optional
    copied : bool
        Whether a frozen encoder is copied.

    Returns
    -------
    dict
        Plain.
    """
    from speechbrain_ser.inference.description import describe
    from speechbrain_ser.inference.encoder_place import told_of
    from speechbrain_ser.inference.folder import FORMAT

    told = {
        name: describe(trained.nodes[name])
        if name in trained.nodes
        else trained.arguments[name]
        for name in trained.arguments
    }
    return {
        "format": FORMAT,
        **known_of(trained, run),
        "model": {"class": type(trained.model).__name__, "with": told},
        "encoder": told_of(encoder, encoder_name, copied),
    }


def write_folder(folder, config, model, encoder, run=None):
    """Writes a model folder, whole or not at all.

    Arguments
    ---------
    folder : str
    config : dict
    model : EmotionModel
    encoder : SpeechModel or None
        Copied if the config says so.
    run : str, optional
        Whose pictures go along.
    """
    from speechbrain_ser.inference.card import model_card
    from speechbrain_ser.inference.encoder_place import INSIDE
    from speechbrain_ser.inference.folder import CONFIG
    from speechbrain_ser.inference.hyperparams import hyperparams
    from speechbrain_ser.inference.tensors import WEIGHTS, write_tensors
    from speechbrain_ser.utils.files import make_folder

    def fill(place):
        """Writes what belongs in it; config.json last."""
        write_tensors(os.path.join(place, WEIGHTS), model, config["labels"])
        if encoder is not None and config["encoder"]["copied"]:
            encoder.export_blocks(os.path.join(place, INSIDE))
        shown = []
        for name in FIGURES:
            picture = os.path.join(run or "", "figures", f"{name}.png")
            if run is not None and os.path.isfile(picture):
                shutil.copyfile(picture, os.path.join(place, f"{name}.png"))
                shown.append(f"{name}.png")
        texts = {
            "README.md": model_card(config, shown),
            "hyperparams.yaml": hyperparams(config),
            CONFIG: json.dumps(config, indent=2, ensure_ascii=False) + "\n",
        }
        for name, text in texts.items():
            with open(os.path.join(place, name), "w", encoding="utf-8") as file:
                file.write(text)

    if os.path.isdir(folder):
        os.rmdir(folder)
    make_folder(folder, fill)


def arguments(words):
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="ser-export",
        description="Writes the model of a trained run as a portable folder.",
    )
    parser.add_argument("run", help="the run's output_folder")
    parser.add_argument("folder", help="what is written; not there yet")
    parser.add_argument("--name", help="of the model, in tables and the card")
    parser.add_argument(
        "--with_encoder",
        action="store_true",
        help="copies a frozen pre-trained encoder too, instead of naming it",
    )
    parser.add_argument(
        "--encoder_folder", help="where the run's pre-trained encoder lies now"
    )
    parser.add_argument(
        "--encoder_name",
        help="its hub name, such as openai/whisper-base, if the run had a "
        "folder",
    )
    return parser.parse_args(words)


def main(words=None):
    """Exports as the command line says; errors in one sentence."""
    given = arguments(words)
    try:
        config = export(**vars(given))
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}")
    encoder = config["encoder"]
    print(f"{given.folder}: {config['name']}, {', '.join(config['labels'])}")
    if encoder is not None and not encoder["copied"]:
        print(
            f"its encoder {encoder['name']} is not in it: label with "
            "--encoder_folder, or export --with_encoder"
        )
    if config["temperature"] is None:
        print(
            "no temperature: the run's report has no calibration on speech "
            "that validates"
        )
