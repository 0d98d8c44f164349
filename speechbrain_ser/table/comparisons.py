"""Tests of a table's rows against each other."""

import numpy as np
from scipy import stats

from speechbrain_ser.table.values import done_runs
from speechbrain_ser.table.words import listed

SIGNIFICANT = 0.05


def add_stars(file, rows, cells, units):
    """Tests rows against those of the symbols; gives remarks for the notes."""
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
        against = dict.fromkeys(sum(map(tuple, symbols.values()), ()))
        for name in columns:
            cell, beaten = cells[row, name], set()
            for other in against:
                p, better, remark = compare(file, name, rows, units, row, other)
                cell.p_values[other] = p
                if p is not None and p < SIGNIFICANT and better:
                    beaten.add(other)
                if remark:
                    remarks.setdefault(remark, []).append(name)
            cell.stars = strongest(symbols, beaten)
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


def compare(file, name, rows, units, row, other):
    """Tests a row against another one.

    Returns
    -------
    tuple
        The p-value or None, whether the row is better, and what is to be
        said about the test (or None).
    """
    mine, theirs = units[row, name], units[other, name]
    column, their_column = (file.column_of(r, name) for r in (row, other))
    if not mine or not theirs:
        return None, False, None
    over_seeds = file.over_seeds(column)
    unit = "seeds" if over_seeds else "folds"
    planned = len(file.seeds if over_seeds else file.folds)
    if planned < 2:
        return None, False, f"there are no tests: they need two {unit}"
    common = [unit for unit in mine if unit in theirs]
    folds = [
        fold
        for index, fold in enumerate(file.folds_of(column))
        if over_seeds or index in common
    ]
    none = f"there is no test of {row} against {other}"
    if any(
        parts_of(column, rows[row], fold)
        != parts_of(their_column, rows[other], fold)
        for fold in folds
    ):
        return None, False, f"{none}: they are evaluated on different parts"
    if len(common) < 2:
        return None, False, f"{none}: they have fewer than two {unit} in common"
    pairs = np.array([(mine[unit], theirs[unit]) for unit in common])
    differences = pairs[:, 0] - pairs[:, 1]
    size = 100 if column.percent else np.abs(pairs).max()
    if np.ptp(differences) <= 1e-9 * size:
        return None, False, f"{none}: all differences are the same"
    p = float(stats.ttest_rel(pairs[:, 0], pairs[:, 1]).pvalue)
    better = differences.mean() * (-1 if column.better == "lower" else 1) > 0
    remark = None
    if len(common) < planned:
        remark = (
            f"the test of {row} against {other} is over "
            f"{len(common)} of {planned} {unit}"
        )
    return p, better, remark


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
