"""What `--help` says of a recipe, without loading torch."""

import ast
import glob
import importlib.util
import os
import re
import textwrap

from speechbrain_ser.experiment.hparams import find_hparams, text_of

ASKED = ("-h", "--help")
WIDTH = 80
# A setting's line: not what is built, nor another name of a setting.
SETTING = re.compile(
    r"([A-Za-z]\w*): (?!!(?:new|name|apply)\b|!ref <\w+>$)(.+)"
)


def asks_for_help(words):
    """Whether a command line asks for help."""
    return any(word in ASKED for word in words)


def help_of(script, words):
    """Returns what `--help` prints.

    Arguments
    ---------
    script : str
        The recipe's file.
    words : list of str
        The command line; a hparams file in it is the one whose settings are
        listed, else the method's first.

    Returns
    -------
    str
    """
    with open(script, encoding="utf-8") as file:
        about = ast.get_docstring(ast.parse(file.read()))
    name = os.path.basename(script)
    files = hparams_of(script)
    named = [word for word in words if word.endswith((".yaml", ".yml"))]
    chosen = find_hparams(named[0], script) if named else files[0]
    shown = os.path.basename(chosen)
    return "\n".join(
        [
            f"usage: python {name} HPARAMS [--setting value] [--option]",
            f"\n{about}",
            f"\nhparams files (python {name} hparams/NAME.yaml --help lists "
            "the settings of NAME):",
            *(f"  hparams/{os.path.basename(path)}" for path in files),
            f"\nSettings of {shown}, as it has them:\n",
            settings_text(text_of(chosen)),
            "\nSpeechBrain's options:\n",
            options_text(),
        ]
    )


def hparams_of(script):
    """Lists the hparams files of a recipe, the shortest name first.

    They lie beside it and begin with its method; if none does, all are its.
    """
    folder = os.path.join(os.path.dirname(os.path.abspath(script)), "hparams")
    found = sorted(glob.glob(os.path.join(glob.escape(folder), "*.yaml")))
    method = os.path.splitext(os.path.basename(script))[0].partition("_")[2]
    own = [p for p in found if os.path.basename(p).startswith(method)]
    return sorted(own or found, key=lambda path: (len(path), path))


def settings_text(text):
    """Lists the settings of a hparams file with its comments.

    Example
    -------
    >>> text = (
    ...     "# Data\\nlr: 0.1  # a rate\\nx: !new:a.B\\ny: !ref <lr>\\nz:\\n  1"
    ... )
    >>> print(settings_text(text))
      # Data
      --lr 0.1  # a rate
    """
    lines = []
    for line in text.splitlines():
        setting = SETTING.fullmatch(line)
        if setting:
            lines.append(f"  --{setting[1]} {setting[2]}")
        elif line.startswith("#"):
            lines.append(f"  {line}")
        elif not line and lines and lines[-1]:
            lines.append("")
    return "\n".join(lines).rstrip()


def options_text():
    """Lists SpeechBrain's options; its source is read, not executed."""
    package = importlib.util.find_spec("speechbrain")
    path = os.path.join(
        package.submodule_search_locations[0], "utils", "run_opts.py"
    )
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    texts = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "HELP_TEXTS"
    )
    return "\n".join(
        textwrap.fill(
            f"--{name}: {text}",
            WIDTH,
            initial_indent="  ",
            subsequent_indent="      ",
        )
        for name, text in texts.items()
    )
