"""From a run's folder to its trained model: what is used of each method's Brain."""

import dataclasses
import json
import os
import random

import numpy as np
import torch

from speechbrain_ser.data.domains import SOURCE, TARGET
from speechbrain_ser.data.layer_statistics import LayerStatistics
from speechbrain_ser.inference.description import describe
from speechbrain_ser.inference.emotion_model import EmotionModel
from speechbrain_ser.inference.models import (
    DANNModel,
    GMPATLModel,
    IPRModel,
    LPMNModel,
    MEnANModel,
    ProbeModel,
)
from speechbrain_ser.lobes.linear_probe import LinearProbe
from speechbrain_ser.lobes.speech_model import SpeechModel
from speechbrain_ser.utils.errors import InputError


@dataclasses.dataclass
class TrainedRun:
    """A run's model, and what is known of it.

    Arguments
    ---------
    model : EmotionModel
    nodes : dict
        Argument of the model to the YAML node that makes it; plain arguments
        are not among them.
    arguments : dict
        Argument of the model to what it is.
    brain : SERBrain
        At the selected epoch.
    metrics : dict
        What the run's ``metrics.json`` says; empty if it has none.
    settings : dict
        The run's plain settings.
    """

    model: EmotionModel
    nodes: dict
    arguments: dict
    brain: object
    metrics: dict
    settings: dict


def trained_run(run, source=None, device=None):
    """Loads a run's model at its selected epoch; nothing in the run changes.

    Its hparams file is HyperPyYAML, which runs code: load no run of somebody
    that you do not trust.

    Arguments
    ---------
    run : str
        Its ``output_folder``.
    source : str, optional
        Where the pre-trained encoder lies now.
    device : str, optional
        Default: SpeechBrain's best guess.

    Returns
    -------
    TrainedRun

    Raises
    ------
    InputError
        If there is no trained run, or one that has no classifier.
    """
    from speechbrain_ser.experiment.evaluate import check_run, load_run
    from speechbrain_ser.experiment.hparams import nodes, peek, text_of
    from speechbrain_ser.experiment.run_folder import HPARAMS, OVERRIDES

    check_run(run)
    path = os.path.join(run, HPARAMS)
    overrides = text_of(os.path.join(run, OVERRIDES))
    more = {}
    if source is not None:
        if "ssl_source" not in peek(path, overrides):
            raise InputError(
                f"{run} has no pre-trained encoder: leave --encoder_folder out"
            )
        more = {"ssl_source": source}
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        hparams = load_run(run, run, **more)
        brain = hparams["brain"](
            hparams={}, run_opts={"device": device} if device else {}
        )
        brain.load_selected()
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
    node = nodes(path, overrides)["brain"]
    kind = type(brain).__name__
    if kind not in KINDS:
        raise InputError(
            f"{run} is a run of {kind}, which labels nothing: give a run of "
            f"{', '.join(KINDS)}"
        )
    settings = dict(peek(path, overrides))
    cls, arguments, made = KINDS[kind](brain, node, settings)
    model = cls(**arguments).to(brain.device).eval()
    return TrainedRun(model, made, arguments, brain, metrics_of(run), settings)


def metrics_of(run):
    """Reads a run's ``metrics.json``; empty if there is none."""
    try:
        with open(os.path.join(run, "metrics.json"), encoding="utf-8") as file:
            return dict(json.load(file))
    except FileNotFoundError:
        return {}


# What the models take of the methods' Brains: class, arguments, YAML nodes


def picked(brain, node, names):
    """Returns modules of a Brain that a model takes, and their YAML nodes."""
    objects = {name: brain.modules[name] for name in names}
    return objects, {name: node["modules"][name] for name in names}


def with_frames(arguments, made, kept, node):
    """Adds how the frames of an encoder's frozen blocks are kept.

    Arguments
    ---------
    arguments, made : dict
        Changed here.
    kept : KeptFrames or None
    node : dict or None
        Where ``standardisation`` stands.
    """
    arguments["kept"] = arguments["half"] = kept is not None
    if kept is not None and kept.standardised is not None:
        arguments["standardise"] = kept.standardised.standardise
        arguments["by"] = way(kept.standardised)
        made["standardise"] = node["standardisation"]


def way(reader):
    """Returns by whom a `StandardisedReader` standardises who is tested."""
    return "train" if reader.by == "train" else "speaker"


def of_ipr(brain, node, settings):
    """Takes what IPR classifies by, and its prototypes."""
    names = ["encoder", "pooling", "classifier"]
    if brain.system == "ipr":
        names.append("prototypes")
    arguments, made = picked(brain, node, names)
    with_frames(arguments, made, brain.kept_frames, node.get("kept_frames"))
    return IPRModel, arguments, made


def of_lpmn(brain, node, settings):
    """Takes what LPMN classifies by, and the regressor of the valence."""
    names = ["encoder", "norm", "pooling", "classifier"]
    if brain.valence_weight:
        names.append("regressor")
    arguments, made = picked(brain, node, names)
    with_frames(arguments, made, brain.kept_frames, node)
    return LPMNModel, arguments, made


def of_gmp_atl(brain, node, settings):
    """Takes what stage 3 fine-tuned; its modules are made by the Brain."""
    encoder, head = brain.encoder, brain.modules["head"]
    arguments = {
        "encoder": encoder,
        "head": head,
        "classifier": brain.modules["classifier"],
        "scale": None if brain.loss is None else brain.loss.angular.scale,
        "kept": brain.cache,
        "half": brain.cache,
    }
    size, n = int(node["embedding_size"]), len(brain.labels)
    if brain.loss is None:
        of_classes = {
            "call": "torch.nn.Linear",
            "with": {"in_features": size, "out_features": n},
        }
    else:
        of_classes = {
            "call": "speechbrain_ser.lobes.multitask_head.CosineClassifier",
            "with": {"input_size": size, "n_classes": n},
        }
    made = {
        "encoder": (node["encoder"], {}),
        "head": (node["head"], {"input_size": encoder.dim}),
        "classifier": of_classes,
    }
    if "standardise" in brain.modules:
        arguments["channels"] = brain.modules["standardise"]
        made["channels"] = standardisation(encoder.dim)
    return GMPATLModel, arguments, made


def of_dann(brain, node, settings):
    """Takes what DANN classifies the tested language by."""
    arguments, made = picked(brain, node, ["encoder", "norm", "classifier"])
    source, target = (reader.standardise for reader in brain.readers)
    finish = brain.readers[SOURCE].finish
    task = settings.get("task")
    arguments |= {
        "features": brain.features,
        "half": hasattr(brain.features, "has_prefix"),
        "source_standardise": source,
        "standardise": target,
        "n_frames": finish.keywords["n_frames"],
        "by": way(brain.readers[SOURCE]),
        "dimension": task if len(brain.labels) == 2 else None,
        "domain": SOURCE if brain.system == "mono" else TARGET,
    }
    made |= {
        "features": node["features"],
        "source_standardise": node["source_standardisation"],
        "standardise": node["target_standardisation"],
    }
    return DANNModel, arguments, made


def of_menan(brain, node, settings):
    """Takes encoder and emotion classifier."""
    arguments, made = picked(brain, node, ["encoder", "classifier"])
    arguments |= {
        "features": brain.features,
        "half": hasattr(brain.features, "has_prefix"),
        "standardise": brain.standardisation,
        "n_frames": brain.reader.finish.keywords["n_frames"],
        "by": way(brain.reader),
    }
    made |= {
        "features": node["features"],
        "standardise": node["standardisation"],
    }
    return MEnANModel, arguments, made


def of_probe(brain, node, settings):
    """Takes the linear layer and what it is given.

    Of a pre-trained encoder no block is kept above the layers that are read.
    """
    features, probe = brain.features, brain.modules["probe"]
    told = describe(node["features"])
    encoder = getattr(features, "encoder", None)
    top = int(probe.rows.max())
    if isinstance(encoder, SpeechModel) and top + 1 < probe.n_rows:
        encoder.shorten(top)
        features = LayerStatistics(encoder)
        told["with"]["encoder"]["with"]["layer"] = top
        probe = fewer_rows(probe, top + 1, brain.channels)
    arguments = {
        "features": features,
        "probe": probe,
        "channels": brain.channels,
        "by": way(brain.reader),
    }
    made = {
        "features": told,
        "probe": {
            "call": "speechbrain_ser.lobes.linear_probe.LinearProbe",
            "with": {
                "n_rows": probe.n_rows,
                "dim": brain.channels,
                "n_classes": probe.n_classes,
                "n_chosen": len(probe.rows),
                "pairwise": probe.pairwise,
            },
        },
    }
    return ProbeModel, arguments, made


def fewer_rows(probe, n_rows, dim):
    """Returns the same `LinearProbe` of the first rows alone."""
    settings = (probe.n_classes, len(probe.rows), probe.pairwise)
    short = LinearProbe(n_rows, dim, *settings)
    short.load_state_dict(probe.state_dict())
    return short


def standardisation(dim):
    """Describes a `Standardisation`."""
    return {
        "call": "speechbrain_ser.lobes.features.Standardisation",
        "with": {"dim": dim},
    }


KINDS = {
    "IPRBrain": of_ipr,
    "LPMNBrain": of_lpmn,
    "FineTuningBrain": of_gmp_atl,
    "DANNBrain": of_dann,
    "MEnANBrain": of_menan,
    "ProbeBrain": of_probe,
}
