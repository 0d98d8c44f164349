"""Tests of a table's rows against each other."""

import dataclasses

import numpy as np
from scipy import stats

from speechbrain_ser.table.units import FOLDS, SEEDS, SPEAKERS
from speechbrain_ser.table.values import done_runs
from speechbrain_ser.table.words import listed

SIGNIFICANT = 0.05
EXACT = 20  # units of which all flips of sign are gone through
DRAWS, AT_ONCE = 9, 11_111  # flips of more units


@dataclasses.dataclass
class Comparison:
    """A row against another one, in one column.

    Attributes
    ----------
    p : float or None
        Of the paired t-test.
    flips : float or None
        Of the sign-flip test.
    better : bool
        Whether the row is.
    n : int
        Units in common.
    remark : str or None
        What is to be said about the test.
    """

    p: float = None
    flips: float = None
    better: bool = False
    n: int = 0
    remark: str = None


def add_stars(file, rows, cells, samples, joined):
    """Tests rows against those of the symbols; gives remarks for the notes.

    Arguments
    ---------
    file : TableFile
    rows : dict
        Row to its runs.
    cells : dict
        (row, column) to `Cell`; they get p-values and stars.
    samples : dict
        (row, column) to `units.Sample`.
    joined : list of int
        See `units.joined_folds`.

    Returns
    -------
    list of str
    """
    columns = [
        name
        for name, column in file.columns.items()
        if column.metric not in ("n", "leakage_chance")
    ]
    remarks = {}
    for row in rows:
        symbols = {
            symbol: others
            for symbol, others in file.stars.items()
            if row not in others
        }
        beaten = {name: set() for name in columns}
        for other in dict.fromkeys(sum(map(tuple, symbols.values()), ())):
            tests = {
                name: compare(file, name, rows, samples, row, other, joined)
                for name in columns
            }
            p_values = {name: test.p for name, test in tests.items()}
            flips = {name: test.flips for name, test in tests.items()}
            if file.correction == "holm":
                p_values, flips = holm(p_values), holm(flips)
            for name, test in tests.items():
                cell, p = cells[row, name], p_values[name]
                cell.p_values[other], cell.flips[other] = p, flips[name]
                cell.tested[other] = test.n
                if p is not None and p < SIGNIFICANT and test.better:
                    beaten[name].add(other)
                if test.remark:
                    remarks.setdefault(test.remark, []).append(name)
        for name in columns:
            cells[row, name].stars = strongest(symbols, beaten[name])
    return [
        f"{remark}."
        if len(set(names)) == len(columns)
        else f"{remark} ({listed(names)})."
        for remark, names in remarks.items()
    ]


def strongest(symbols, beaten):
    """Joins the symbols that hold, without those that others imply."""
    holding = {
        symbol: set(others)
        for symbol, others in symbols.items()
        if beaten.issuperset(others)
    }
    return "".join(
        symbol
        for symbol, others in holding.items()
        if not any(others < more for more in holding.values())
    )


def holm(p_values):
    """Corrects p-values by Holm's method.

    Arguments
    ---------
    p_values : dict
        Name to p-value; None is no test, and stays.

    Returns
    -------
    dict

    Example
    -------
    >>> holm({"a": 0.01, "b": 0.04, "c": None, "d": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': None, 'd': 0.06}
    """
    found, least = dict(p_values), 0.0
    known = [name for name, p in p_values.items() if p is not None]
    known.sort(key=p_values.get)
    for rank, name in enumerate(known):
        least = max(least, min(1.0, (len(known) - rank) * p_values[name]))
        found[name] = least
    return found


def sign_flip_test(differences):
    """Tests whether paired differences have a mean of 0, by flips of sign.

    Two-sided; if there is no difference, each is as likely as its negative. Up
    to 20 of them all changes of sign are gone through, of more a number is
    drawn, always the same.

    Arguments
    ---------
    differences : array-like
        ``[n]``.

    Returns
    -------
    float
        The p-value; 2 / 2^n is the smallest.

    Example
    -------
    >>> sign_flip_test([1.0, 2.0, 3.0])
    0.25
    """
    differences = np.asarray(differences, dtype=float)
    n = len(differences)
    least = abs(differences.sum()) - 1e-9 * np.abs(differences).sum()
    if n <= EXACT:
        sums = np.zeros(1)
        for difference in differences:
            sums = np.concatenate([sums + difference, sums - difference])
        return float((np.abs(sums) >= least).mean())
    draw = np.random.default_rng(0)
    reached = 1  # as it is
    for _ in range(DRAWS):
        signs = draw.integers(0, 2, size=(AT_ONCE, n)) * 2 - 1
        reached += int((np.abs(signs @ differences) >= least).sum())
    return reached / (DRAWS * AT_ONCE + 1)


def compare(file, name, rows, samples, row, other, joined):
    """Tests a row against another one.

    Returns
    -------
    Comparison
    """
    mine, theirs = samples[row, name], samples[other, name]
    if not mine.values or not theirs.values:
        return Comparison()
    column = file.column_of(row, name)
    planned = {
        FOLDS: len(set(joined)),
        SPEAKERS: len(mine.values | theirs.values),
        SEEDS: len(file.seeds),
    }[mine.kind]
    if planned < 2:
        remark = f"there are no tests: they need two {mine.kind}"
        return Comparison(remark=remark)
    common = [unit for unit in mine.values if unit in theirs.values]
    if mine.kind == FOLDS:  # of which both have the same folds
        own, others = (folds_done(file, rows[r], joined) for r in (row, other))
        common = [unit for unit in common if own[unit] == others[unit]]
    reason = None
    if mine.kind != theirs.kind:
        reason = f"its units are {mine.kind}, the other's {theirs.kind}"
    elif any(
        parts_of(column, rows[row], fold)
        != parts_of(file.column_of(other, name), rows[other], fold)
        for fold in file.folds_of(column)
        if mine.kind != FOLDS or joined[file.folds.index(fold)] in common
    ):
        reason = "they are evaluated on different parts"
    elif len(common) < 2:
        reason = f"they have fewer than two {mine.kind} in common"
    else:
        pairs = np.array([(mine.values[u], theirs.values[u]) for u in common])
        differences = pairs[:, 0] - pairs[:, 1]
        size = 100 if column.percent else np.abs(pairs).max()
        if np.ptp(differences) <= 1e-9 * size:
            reason = "all differences are the same"
    if reason is not None:
        remark = f"there is no test of {row} against {other}: {reason}"
        return Comparison(remark=remark)
    p = float(stats.ttest_rel(pairs[:, 0], pairs[:, 1]).pvalue)
    better = differences.mean() * (-1 if column.better == "lower" else 1) > 0
    remark = None
    if len(common) < planned:
        remark = (
            f"the test of {row} against {other} is over "
            f"{len(common)} of {planned} {mine.kind}"
        )
    flips = sign_flip_test(differences)
    return Comparison(p, flips, bool(better), len(common), remark)


def folds_done(file, runs, joined):
    """Gives the folds of each unit that have runs which are done."""
    found = {}
    for run in done_runs(runs):
        unit = joined[file.folds.index(run.fold)]
        found.setdefault(unit, set()).add(run.fold)
    return found


def parts_of(column, runs, fold):
    """Gives the hashes of the parts that a column is computed on, by run."""
    return {
        tuple(
            (run.metrics.get("parts_sha256") or {}).get(
                part, run.metrics.get("split_sha256")
            )
            for part in column.parts
        )
        for run in done_runs(runs)
        if run.fold == fold
    }
