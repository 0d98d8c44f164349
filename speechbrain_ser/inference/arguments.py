"""The command line of `ser-label`, and the settings that it can be given by."""

import argparse
import json
import math
import os

CHOICES = ("no", "column", "folder", "all")
SHORTEST_WINDOW = 0.1  # s
ALONE = ("settings", "again")  # not kept: they are of one command


def parse(words):
    """Reads the command line.

    Arguments
    ---------
    words : list of str

    Returns
    -------
    argparse.Namespace
        What stands there, before what ``--settings`` says, before the
        defaults.

    Example
    -------
    >>> options = parse(["a.wav", "--model", "m", "--", "-b.wav"])
    >>> options.paths, options.min_confidence
    (['a.wav', '-b.wav'], None)
    """
    words, names = list(words), []
    if "--" in words:
        place = words.index("--")
        words, names = words[:place], words[place + 1 :]
    parser = _parser(argparse.SUPPRESS)
    for word in words:
        if word.startswith("-") and os.path.exists(word):
            parser.error(
                f"'{word}' begins with a dash: put such names behind --, as in "
                f"ser-label --csv out.csv -- {word}"
            )
    given = vars(parser.parse_intermixed_args(words))
    if names:
        given["paths"] = given.get("paths", []) + names
    if not given.get("paths"):
        given.pop("paths", None)
    parser = _parser(None)
    known = {}
    if "settings" in given:
        known = _read_settings(given["settings"], parser)
    return argparse.Namespace(**vars(_defaults(parser)) | known | given)


def settings_of(options):
    """What a run is repeated by.

    Arguments
    ---------
    options : argparse.Namespace

    Returns
    -------
    dict
        Name to value, of all that is not the default.
    """
    defaults = vars(_defaults(_parser(None)))
    return {
        name: value
        for name, value in vars(options).items()
        if value != defaults[name] and name not in ALONE
    }


def _defaults(parser):
    """The options of an empty command line."""
    return parser.parse_args([])


def _parser(default):
    """The parser; `default` is that of all options."""
    parser = argparse.ArgumentParser(
        prog="ser-label",
        description="Labels speech by a trained model: its emotion, and the "
        "posterior of each class. Stopped and started again it goes on where "
        "it was.",
        epilog="Exit code: 0, all is labelled; 1, something is not; 2, "
        "nothing was done.",
        allow_abbrev=False,
        argument_default=default,
    )
    listed = [] if default is None else default
    add = parser.add_argument
    add(
        "paths",
        nargs="*",
        default=listed,
        metavar="PATH",
        help="files, folders and what is below them, or tables (.csv: file, "
        "and perhaps start, stop, channel, speaker, language); behind -- also "
        "names that begin with a dash",
    )
    add(
        "--list",
        action="append",
        default=listed,
        metavar="FILE",
        help="a text with a path a line, meant from its folder; - reads the "
        "standard input; may be given several times",
    )
    _add_model(add)
    _add_outputs(add)
    _add_speech(add)
    _add_repeating(add, False if default is None else default)
    return parser


def _add_model(add):
    """Which model, and how it is used."""
    add("--model", metavar="FOLDER", help="of ser-export (default: the ready)")
    add("--encoder_folder", metavar="DIR", help="where its encoder lies")
    add("--device", help="cpu, cuda, cuda:1 (default: a GPU if there is one)")
    add("--batch_size", type=whole, metavar="N", help="(default: the model's)")
    add(
        "--temperature",
        type=above_zero,
        metavar="T",
        help="of the posteriors (default: the model's own)",
    )
    add(
        "--min_confidence",
        type=share,
        metavar="P",
        help="below this posterior the label is 'unsure'",
    )


def _add_outputs(add):
    """Where the table goes."""
    add("--csv", metavar="FILE", help="a table; - prints it")
    add("--json", metavar="FILE", help="a line of JSON a file; - prints it")


def _add_speech(add):
    """What the speech is."""
    add(
        "--channel",
        type=whole,
        metavar="N",
        help="from 1 (default: the mean of all channels)",
    )
    add(
        "--window",
        type=window,
        metavar="SECONDS",
        help="label long recordings in windows of about this length, a row each",
    )
    add("--language", metavar="CODE", help="that is spoken, such as de")
    add(
        "--speakers",
        choices=CHOICES,
        help="whose frames are standardised together: of the column speaker, "
        "of a folder, or all; no: by the model's own statistics",
    )


def _add_repeating(add, off):
    """What is taken from an earlier command, and kept for a later one."""
    add("--settings", metavar="FILE", help="of an earlier run; words here win")
    add("--journal", metavar="DIR", help="where what is done is kept")
    add(
        "--no_journal",
        action="store_true",
        default=off,
        help="keep nothing, and begin anew each time",
    )
    add(
        "--again",
        action="store_true",
        default=off,
        help="label anew what was done before",
    )


def _read_settings(path, parser):
    """Reads a file of settings; each is checked as a word would be."""
    try:
        with open(path, encoding="utf-8") as file:
            held = json.load(file)
    except OSError as error:
        parser.error(f"--settings '{path}' can't be read ({error.strerror})")
    except ValueError as error:
        parser.error(f"--settings '{path}' is no JSON ({error})")
    names = set(vars(_defaults(parser))) - set(ALONE)
    if not isinstance(held, dict) or set(held) - names:
        odd = "no settings"
        if isinstance(held, dict):
            odd = ", ".join(sorted(set(held) - names))
        parser.error(
            f"--settings '{path}' holds {odd}: give those of "
            f"{', '.join(sorted(names))}"
        )
    words = []
    for name, value in held.items():
        wanted = list if name in ("paths", "list") else (str, int, float)
        if name == "no_journal":
            wanted = bool
        several = isinstance(value, list)
        fit = isinstance(value, wanted) and (
            not several or all(isinstance(each, str) for each in value)
        )
        if not fit or (isinstance(value, bool) and wanted is not bool):
            parser.error(
                f"--settings '{path}' has {value!r} as {name}: correct it, or "
                "take it out"
            )
        if name == "no_journal":
            words += ["--no_journal"] * value
        elif name != "paths":
            each = value if several else [value]
            words += [f"--{name}={one}" for one in each]
    parsed = vars(_parser(argparse.SUPPRESS).parse_args(words))
    return parsed | ({"paths": held["paths"]} if "paths" in held else {})


def whole(text):
    """Reads a whole number from 1."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no whole number from 1: give one"
        )
    return int(text)


def share(text):
    """Reads a number from 0 to 1."""
    value = _number(text)
    if value is None or not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number from 0 to 1: give one"
        )
    return value


def window(text):
    """Reads a number of seconds from `SHORTEST_WINDOW`."""
    value = _number(text)
    if value is None or value < SHORTEST_WINDOW:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of seconds from {SHORTEST_WINDOW}: give one"
        )
    return value


def above_zero(text):
    """Reads a number above 0."""
    value = _number(text)
    if value is None or value <= 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number above 0: give one"
        )
    return value


def _number(text):
    """A finite number; None if it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
