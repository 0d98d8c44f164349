"""The command line of a table."""

import argparse


def parse(arguments):
    """Reads the command line.

    Returns
    -------
    known : argparse.Namespace
    rest : list of str
        What goes on to the recipe: its settings and SpeechBrain's options.
    """
    parser = argparse.ArgumentParser(
        prog="python -m speechbrain_ser.table",
        description="Makes the runs of a table file that have no result yet, "
        "and the table. Other --name value pairs go to the recipe, for all "
        "rows: its settings (--data_folder, --corpus_name) and SpeechBrain's "
        "options (--device, --precision).",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("table", help="a table file, e.g. tables/IEMOCAP/*.yaml")
    add("--dry_run", action="store_true", help="list the runs, make none")
    add("--jobs", type=positive, help="runs side by side (default 1)")
    add("--results_folder", default="results", help="(default %(default)s)")
    add("--hparams", help="another hparams file than the table's")
    add("--seeds", type=int, nargs="+", help="other seeds than the table's")
    add("--folds", type=fold, nargs="+", help="other folds than the table's")
    add("--gpus", type=positive, default=1, help="GPUs of each run (torchrun)")
    add("--cluster", choices=("slurm", "local"), help="submit with submitit")
    add("--partition", help="of the cluster")
    add(
        "--time",
        type=minutes,
        default="24:00:00",
        help="limit of a job: minutes or H:M:S (default %(default)s)",
    )
    return parser.parse_known_args(arguments)


def positive(text):
    """Reads a whole number above 0."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def fold(text):
    """Reads the value of a setting that names the fold.

    Example
    -------
    >>> fold("3"), fold("Ses03")
    (3, 'Ses03')
    """
    return int(text) if text.isdecimal() else text


def minutes(text):
    """Reads minutes, or H:M:S.

    Example
    -------
    >>> minutes("90"), minutes("1:30:00")
    (90, 90)
    """
    parts = [int(part) for part in text.split(":")]
    if len(parts) not in (1, 3) or min(parts) < 0 or not any(parts):
        raise ValueError(text)
    if len(parts) == 1:
        return parts[0]
    hours, whole, seconds = parts
    return 60 * hours + whole + -(-seconds // 60)
