"""The YAML that SpeechBrain's ``from_hparams`` loads a model folder by."""

import inspect
import json

from speechbrain_ser.inference.allowed import PRE_TRAINED, called
from speechbrain_ser.inference.models import __name__ as MODELS

HEAD = """\
# {name}: for SpeechBrain's from_hparams, by SERClassifier:
#     from speechbrain_ser.inference.pretrained import SERClassifier
#     classifier = SERClassifier.from_hparams("this folder")
# Loading YAML runs code: load folders of those whom you trust. The command
# ser-label and EmotionRecognizer.from_folder never read this file.

"""


def hyperparams(config):
    """Writes the YAML of a model folder.

    Arguments
    ---------
    config : dict
        Its ``config.json``.

    Returns
    -------
    str
    """
    told, encoder = config["model"], config["encoder"]
    lines = [HEAD.format(name=config["name"])]
    lines.append("pretrained_path: .  # SERClassifier puts this folder here")
    lines.append(f"labels: {json.dumps(config['labels'], ensure_ascii=False)}")
    for name in ("sample_rate", "temperature", "max_seconds"):
        lines.append(f"{name}: {json.dumps(config[name])}")
    if encoder is not None:
        copied = "  # in this folder, which SERClassifier makes whole"
        place = "encoder" if encoder["copied"] else encoder["name"]
        comment = copied if encoder["copied"] else "  # or a folder with a copy"
        lines.append(f"encoder_source: {json.dumps(place)}{comment}")
        lines.append(
            "encoder_cache: pretrained_models  # of what comes from the hub"
        )
    lines.append(f"model: !new:{MODELS}.{told['class']}")
    for name, value in told["with"].items():
        lines += written(name, value, 1)
    lines += [
        "modules:",
        "    model: !ref <model>",
        "pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer",
        "    loadables:",
        "        model: !ref <model>",
        "    paths:",
        "        model: !ref <pretrained_path>/model.safetensors",
        "    custom_hooks:",
        "        model: !name:speechbrain_ser.inference.pretrained.load_model",
        "            labels: !ref <labels>",
    ]
    return "\n".join(lines) + "\n"


def written(name, value, depth):
    """Writes an argument and what it is described as, lines of YAML."""
    indent = "    " * depth
    if not isinstance(value, dict):
        return [f"{indent}{name}: {scalar(value)}"]
    called_name = value.get("call") or value["partial"]
    lines = [f"{indent}{name}: {tag(value)}{called_name}"]
    for argument, inner in value.get("with", {}).items():
        lines += written(argument, inner, depth + 1)
    if called_name in PRE_TRAINED:
        lines.append(f"{indent}    source: !ref <encoder_source>")
        lines.append(f"{indent}    save_path: !ref <encoder_cache>")
    for inner in value.get("args", []):
        lines += listed(inner, depth + 1)
    return lines


def listed(value, depth):
    """Writes an argument without a name."""
    first, *rest = written("-", value, depth)
    return [first.replace("-:", "-", 1), *rest]


def tag(value):
    """Returns the tag by which HyperPyYAML calls what a value describes."""
    if "partial" in value:
        return "!name:"
    return "!new:" if inspect.isclass(called(value["call"])) else "!apply:"


def scalar(value):
    """Writes a plain value."""
    return json.dumps(value, ensure_ascii=False)
