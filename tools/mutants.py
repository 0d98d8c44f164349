#!/usr/bin/env python3
"""Changes the package one line at a time, and says which test notices.

The changes stand in mutants.yaml. A copy of the checkout is changed, never the
checkout itself.

To run it:
> python tools/mutants.py --jobs 2
> python tools/mutants.py --only prototypes_gamma mean_of_padding
"""

import argparse
import dataclasses
import os
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import yaml
from checkouts import HOME, check_import
from mutant_copies import TESTS, Copies, find, mutated

HERE = os.path.dirname(os.path.abspath(__file__))
FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
ENDS = {
    2: "the tests could not be read",
    3: "pytest broke",
    4: "pytest was called wrongly",
    5: "no test was found",
}


@dataclasses.dataclass
class Verdict:
    """What became of a mutant.

    Attributes
    ----------
    name : str
    word : str
        ``caught``, ``survived`` or ``NOT APPLICABLE``.
    by : str
        The test, or the reason.
    seconds : float
    """

    name: str
    word: str
    by: str = ""
    seconds: float = 0.0

    def line(self):
        """Returns the line that is printed."""
        return f"{self.word:14} {self.name:34} {self.seconds:5.0f} s  {self.by}"


def read_mutants(path, only):
    """Reads the mutants.

    Arguments
    ---------
    path : str
    only : list of str or None
        Names.

    Returns
    -------
    list of dict
        Each with ``name``, ``old``, ``new`` and ``tests``.
    """
    with open(path, encoding="utf-8") as file:
        mutants = yaml.safe_load(file)
    names = [mutant["name"] for mutant in mutants]
    twice = {name for name in names if names.count(name) > 1}
    unknown = set(only or ()) - set(names)
    if twice or unknown:
        wrong = sorted(twice or unknown)[0]
        what = "stands twice" if twice else "does not stand"
        sys.exit(f"error: {wrong} {what} in {path}: correct it")
    return [m for m in mutants if only is None or m["name"] in only]


def find_tests(root, wanted):
    """Finds test files by their last name, wherever they lie.

    Arguments
    ---------
    root : str
        The checkout.
    wanted : list of str
        As ``test_losses.py`` or ``test_losses.py::test_name``.

    Returns
    -------
    list of str
        What pytest is given; empty if one of them is nowhere.
    """
    found = []
    for one in wanted:
        file, _, name = one.partition("::")
        paths = [
            os.path.relpath(os.path.join(here, file), root)
            for here, _, files in os.walk(os.path.join(root, TESTS))
            if file in files
        ]
        if name:
            paths = [
                f"{path}::{name}"
                for path in sorted(paths)
                if defines(os.path.join(root, path), name.split("::")[-1])
            ]
        if not paths:
            return []
        found += sorted(paths)
    return found


def defines(path, name):
    """Says whether a test file defines a function."""
    with open(path, encoding="utf-8") as file:
        return f"def {name}(" in file.read()


def judge(copies, mutant, limit, every):
    """Applies a mutant and runs its tests.

    Arguments
    ---------
    copies : Copies
    mutant : dict
    limit : float
        Seconds.
    every : bool
        Whether the whole suite runs instead of the mutant's own tests.

    Returns
    -------
    Verdict
    """
    name, begun = mutant["name"], time.time()
    with copies.one() as copy:
        root = copy.root
        places = find(root, mutant["old"])
        tests = [TESTS] if every else find_tests(root, mutant["tests"])
        if len(places) != 1:
            reason = f"the old text is there {len(places)} times"
            return Verdict(name, "NOT APPLICABLE", reason)
        if not tests:
            reason = f"a test of {', '.join(mutant['tests'])} is nowhere"
            return Verdict(name, "NOT APPLICABLE", reason)
        with mutated(root, places[0], mutant):
            code, said = copy.run(tests, limit)
    seconds = time.time() - begun
    if code is None:
        return Verdict(name, "caught", f"the limit of {limit} s", seconds)
    if code == 0:
        return Verdict(name, "survived", " ".join(tests), seconds)
    if code == 1:
        by = FAILED.search(said)
        return Verdict(name, "caught", by[1] if by else "?", seconds)
    last = (said.strip().splitlines() or [""])[-1]
    reason = f"{ENDS.get(code, f'pytest ended with {code}')}: {last}"
    return Verdict(name, "NOT APPLICABLE", reason, seconds)


def check_unchanged(copies, mutants):
    """Refuses tests that fail without any change.

    Arguments
    ---------
    copies : Copies
    mutants : list of dict
    """
    wanted = list(dict.fromkeys(t for m in mutants for t in m["tests"]))
    begun = time.time()
    tests = [x for t in wanted for x in find_tests(copies.root, [t])]
    whole = {t for t in tests if "::" not in t}
    # a test of a file that runs as a whole runs once
    tests = [t for t in tests if t in whole or t.split("::")[0] not in whole]

    def run(share):
        """Runs a share of the tests."""
        with copies.one() as copy:
            return copy.run(share, until_first=False)

    n = len(copies.all)
    shares = [tests[i::n] for i in range(n) if tests[i::n]]
    with ThreadPoolExecutor(n) as pool:
        failed = [said for code, said in pool.map(run, shares) if code]
    if failed:
        sys.exit(
            "error: the named tests fail without any change: correct them, or "
            "leave out by --without what this machine can't do\n"
            + "\n".join(said[-3000:] for said in failed)
        )
    print(
        f"unchanged: {len(tests)} files and tests pass, "
        f"{time.time() - begun:.0f} s",
        flush=True,
    )


def parse():
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--mutants", default=os.path.join(HERE, "mutants.yaml"))
    parser.add_argument("--checkout", default=HOME, help="default: this one")
    parser.add_argument("--only", nargs="+", help="names")
    parser.add_argument("--jobs", type=int, default=1, help="at a time")
    parser.add_argument(
        "--survivors",
        action="store_true",
        help="run the whole suite for those that survive",
    )
    parser.add_argument(
        "--limit", type=float, default=600, help="seconds of a mutant's tests"
    )
    parser.add_argument(
        "--without", nargs="+", default=(), help="tests that are left out"
    )
    parser.add_argument("--python", default=sys.executable)
    return parser.parse_args()


def main():
    """Judges all mutants; exits with 1 unless all are caught."""
    options = parse()
    mutants = read_mutants(options.mutants, options.only)
    root = os.path.abspath(options.checkout)
    begun = time.time()
    with Copies(root, options) as copies:
        with copies.one() as first:
            check_import(first.root, options.python)
        check_unchanged(copies, mutants)
        verdicts = judge_all(copies, mutants, options, False)
        survivors = [v.name for v in verdicts if v.word == "survived"]
        if options.survivors and survivors:
            again = [m for m in mutants if m["name"] in survivors]
            print("the whole suite for those that survived:", flush=True)
            later = {v.name: v for v in judge_all(copies, again, options, True)}
            verdicts = [later.get(v.name, v) for v in verdicts]
    caught = sum(v.word == "caught" for v in verdicts)
    print(f"caught {caught} of {len(verdicts)}, {time.time() - begun:.0f} s")
    sys.exit(0 if caught == len(verdicts) else 1)


def judge_all(copies, mutants, options, every):
    """Judges mutants, several at a time, and prints a line for each.

    Arguments
    ---------
    copies : Copies
    mutants : list of dict
    options : argparse.Namespace
    every : bool
        See `judge`.

    Returns
    -------
    list of Verdict
    """

    def one(mutant):
        """Judges and prints."""
        limit = None if every else options.limit
        verdict = judge(copies, mutant, limit, every)
        print(verdict.line(), flush=True)
        return verdict

    with ThreadPoolExecutor(options.jobs) as pool:
        return list(pool.map(one, mutants))


if __name__ == "__main__":
    main()
