#!/usr/bin/env python3
"""Runs all recipes in two commits and compares what they leave, bit for bit.

Short runs on the embedded mini corpora (runs.yaml), one thread, on the CPU. The
commands and files are OLD's; what NEW calls otherwise stands in names.yaml.

To run it:
> python tools/compare_commits.py main HEAD --jobs 2
> python tools/compare_commits.py HEAD ../other_checkout --only ipr dann_bn1
"""

import argparse
import contextlib
import filecmp
import os
import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import yaml
from checkouts import check_import, checkout, environment
from names import Names, read_names, untranslated

HERE = os.path.dirname(os.path.abspath(__file__))
SIDES = ("OLD", "NEW")


class Side:
    """One of the two commits: its code, and the folder that it runs in.

    Arguments
    ---------
    name : str
        OLD or NEW.
    code : str
        The checkout.
    work : str
        The folder.
    names : dict
        The map of names from OLD to NEW.
    python : str
    """

    def __init__(self, name, code, work, names, python):
        self.name = name
        self.code = code
        self.work = work
        none = untranslated(names)
        # the commands are OLD's, and what is compared has NEW's names
        self.for_commands = none if name == "OLD" else names
        self.for_files = names if name == "OLD" else none
        self.python = python
        os.makedirs(os.path.join(work, "logs"))
        save_hubert(os.path.join(work, "hubert"))

    @property
    def places(self):
        """Paths that differ between the sides, and a word for each."""
        return {self.work: "<work>", self.code: "<code>"}

    def path(self, *names):
        """Returns a path in the folder."""
        return os.path.join(self.work, *names)

    def run(self, run):
        """Makes a run.

        Arguments
        ---------
        run : dict
            Of runs.yaml.

        Returns
        -------
        int
            The exit code.
        """
        names = Names(self.for_commands, run["method"])
        words = names.command(run["words"])
        with open(self.path("logs", run["name"]), "w") as log:
            return subprocess.run(
                [self.python, os.path.join(self.code, words[0]), *words[1:]],
                cwd=self.work,
                env=environment(
                    self.code, SPEECHBRAIN_SER_CACHE=self.path("cache")
                ),
                stdout=log,
                stderr=subprocess.STDOUT,
            ).returncode

    def end_of_log(self, run, lines=8):
        """Returns the last lines that a run said."""
        with open(self.path("logs", run["name"]), errors="replace") as file:
            return "    " + "    ".join(file.readlines()[-lines:])


def save_hubert(folder):
    """Saves a tiny random HuBERT, as a hub would hold it."""
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    config = transformers.HubertConfig(
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=48,
        conv_dim=(16, 16, 16),
        conv_stride=(5, 4, 4),
        conv_kernel=(10, 8, 4),
        num_feat_extract_layers=3,
        num_conv_pos_embeddings=16,
        num_conv_pos_embedding_groups=4,
        feat_extract_norm="layer",
        do_stable_layer_norm=True,
        conv_bias=True,
    )
    transformers.HubertModel(config).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(
        do_normalize=True, return_attention_mask=True
    ).save_pretrained(folder)


def read_runs(only):
    """Reads runs.yaml.

    Arguments
    ---------
    only : list of str or None
        Names; what these need is added.

    Returns
    -------
    list of dict
    """
    with open(os.path.join(HERE, "runs.yaml"), encoding="utf-8") as file:
        held = yaml.safe_load(file)
    runs = {run["name"]: run for run in held["runs"]}
    wanted = list(only or runs)
    for name in wanted:
        if name not in runs:
            sys.exit(
                f"error: there is no run {name}: give of {', '.join(runs)}"
            )
        needed = runs[name].get("after")
        if needed is not None and needed not in wanted:
            wanted.append(needed)
    for run in runs.values():
        command = run["command"].replace("{common}", held["common"])
        run["words"] = shlex.split(command)
    return [run for run in runs.values() if run["name"] in wanted]


def make(side, run, needed):
    """Makes a run on a side, after the one that it needs.

    Arguments
    ---------
    side : Side
    run : dict
    needed : Future or None

    Returns
    -------
    code : int
    seconds : float
    """
    if needed is not None:
        needed.result()
    begun = time.time()
    return side.run(run), time.time() - begun


def compare_run(sides, run):
    """Compares all files of a run; prints a line for each.

    Arguments
    ---------
    sides : list of Side
    run : dict

    Returns
    -------
    int
        How many differ.
    """
    from compare_files import compare_file, files_of

    names = [Names(side.for_files, run["method"]) for side in sides]
    files = [
        files_of(side.path("out", run["name"]), own)
        for side, own in zip(sides, names)
    ]
    places = [side.places for side in sides]
    differ = 0
    for name in sorted({**files[0], **files[1]}):
        missing = [s.name for s, held in zip(sides, files) if name not in held]
        found = f"not in {missing[0]}" if missing else None
        if not missing:
            found = compare_file(files[0][name], files[1][name], names, places)
        differ += found is not None
        print(f"{run['name']:14} {name:50} {found or 'equal'}", flush=True)
    if not files[0]:
        print(f"{run['name']:14} no files")
    return differ + (not files[0])


def compare_corpora(sides):
    """Compares the mini corpora that both sides made, byte for byte.

    Arguments
    ---------
    sides : list of Side

    Returns
    -------
    int
        How many files differ.
    """
    held = []
    for side in sides:
        root = side.path("cache")
        held.append(
            {
                os.path.relpath(os.path.join(here, file), root)
                for here, _, files in os.walk(root)
                for file in files
            }
        )
    differ = sorted(held[0] ^ held[1])
    for name in sorted(held[0] & held[1]):
        if not filecmp.cmp(*[s.path("cache", name) for s in sides], False):
            differ.append(name)
    told = f"first {differ[0]}" if differ else "equal"
    count = len(held[0] | held[1])
    print(f"mini corpora   {count} files, {len(differ)} differ: {told}")
    return len(differ)


def compare(sides, runs, jobs):
    """Makes all runs on both sides and compares them.

    Arguments
    ---------
    sides : list of Side
    runs : list of dict
    jobs : int
        That run at a time.

    Returns
    -------
    int
        How many things differ.
    """
    differ, made = 0, {}
    with ThreadPoolExecutor(jobs) as pool:
        # a run that is needed by others stands before them
        for run in runs:
            for side in sides:
                needed = made.get((run.get("after"), side.name))
                made[run["name"], side.name] = pool.submit(
                    make, side, run, needed
                )
        for run in runs:
            results = [made[run["name"], side.name].result() for side in sides]
            seconds = " and ".join(f"{r[1]:.0f} s" for r in results)
            codes = [code for code, _ in results]
            told = f"exit codes {codes[0]} and {codes[1]}, {seconds}"
            print(f"{run['name']:14} {'command':50} {told}", flush=True)
            for side, code in zip(sides, codes):
                if code:
                    print(f"{side.name} failed:\n{side.end_of_log(run)}")
            differ += any(codes) or compare_run(sides, run)
    return differ + compare_corpora(sides)


def parse():
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("old", help="a commit, or the path of a checkout")
    parser.add_argument("new", help="a commit, or the path of a checkout")
    parser.add_argument(
        "--names",
        default=os.path.join(HERE, "names.yaml"),
        help="the map of names",
    )
    parser.add_argument("--only", nargs="+", help="names of runs.yaml")
    parser.add_argument("--jobs", type=int, default=1, help="at a time")
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--keep", help="a new folder for what the runs leave")
    return parser.parse_args()


def main():
    """Compares; exits with 1 if anything differs."""
    options = parse()
    runs = read_runs(options.only)
    held = read_names(options.names)
    with contextlib.ExitStack() as stack:
        base = stack.enter_context(tempfile.TemporaryDirectory())
        root = os.path.abspath(options.keep or base)
        sides = []
        for name, commit in zip(SIDES, (options.old, options.new)):
            code = stack.enter_context(
                checkout(commit, os.path.join(base, f"code{name}"))
            )
            check_import(code, options.python)
            work = os.path.join(root, name)
            sides.append(Side(name, code, work, held, options.python))
        differ = compare(sides, runs, options.jobs)
    print(f"{differ} differ" if differ else "all is equal")
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
