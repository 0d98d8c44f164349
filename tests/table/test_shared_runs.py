"""Rows that read other parts of the same run."""

import random

import pytest
from scipy import stats

from speechbrain_ser.table.cells import fill
from speechbrain_ser.table.layout import Column
from tests.table.runs import (
    CLASSES,
    TEST,
    UA,
    absent,
    done,
    made_up,
    scored,
    table_file,
)


def shared_runs(seeds=(1, 2, 3), folds=(None,)):
    """Runs of one row, and runs that three rows read, one part each."""
    runs = []
    for seed in seeds:
        for fold in folds:
            who = f"{seed}{fold}"
            runs.append(
                done("base", seed, fold, scored(*made_up(40, who, skill=0.2)))
            )
            parts = {
                part: scored(*made_up(40, f"{part}{who}", skill=skill))
                for part, skill in (
                    ("test", 0.8),
                    ("test_512", 0.6),
                )
            }
            parts["test_200"] = scored(["ang", "sad"], ["ang", "ang"])
            run = done("all", seed, fold)
            run.more_rows = ("ps-512", "ps-200")
            run.metrics["metrics"] = parts
            run.metrics["test_mean_of_last_epochs"] = {"UA": {"mean": 0.75}}
            for facts in ("parts_sha256", "sizes"):
                of_all = run.metrics[facts]["test"]
                for part in ("test_512", "test_200"):
                    run.metrics[facts][part] = of_all
            runs.append(run)
    return runs


READS = {
    "ps-512": {"test": "test_512"},
    "ps-200": {"test": "test_200"},
}
ROWS = ("base", "all", "ps-512", "ps-200")


def own_runs(runs):
    """The same numbers as runs of each row's own, without any reading."""
    found = []
    for run in runs:
        for row in run.rows:
            part = READS.get(row, {}).get("test", "test")
            metrics = {"test": run.metrics["metrics"][part]}
            own = done(row, run.seed, run.fold, **run.metrics)
            own.metrics["metrics"] = metrics
            found.append(own)
    return found


@pytest.mark.parametrize("folds", [(None,), ("a", "b")])
def test_a_row_reads_its_part_in_all_numbers(folds):
    """As if each row had runs of its own that report nothing else."""
    columns = [
        UA,
        Column("sad", "recall_sad", TEST),
        Column("n", "n", ("train", "test")),
    ]
    more = {}
    if len(folds) > 1:
        columns.append(Column("pooled", "WA", TEST, folds="pooled"))
        more = {"fold_setting": "fold", "folds": list(folds)}
    file = table_file(
        ROWS,
        columns,
        reads=READS,
        stars={"*": ("base",), "+": ("ps-200",)},
        **more,
    )
    plain = table_file(ROWS, columns, stars=file.stars, **more)
    runs = shared_runs(folds=folds)
    random.Random(1).shuffle(runs)
    table, expected = (
        fill(file, runs, CLASSES),
        fill(plain, own_runs(runs), CLASSES),
    )
    assert table.cells == expected.cells
    assert table.confusions == expected.confusions
    assert len({str(matrix) for matrix in table.confusions.values()}) == 4
    means = {table.cells[row, "UA"].mean for row in ROWS}
    assert len(means) == 4 and table.cells["ps-200", "UA"].mean == 50
    speakers = "pooled" if len(folds) > 1 else "UA"
    assert table.cells["ps-512", speakers].speakers is not None
    p = stats.ttest_rel(
        table.cells["ps-512", "UA"].values, table.cells["base", "UA"].values
    ).pvalue
    assert table.cells["ps-512", "UA"].p_values["base"] == pytest.approx(p)
    assert table.cells["ps-512", "n"].mean == 100
    assert len(table.runs) == 6 * len(folds)
    assert (
        "Rows read other parts of a run: ps-512 (test_512 as test), "
        "ps-200 (test_200 as test)." in table.notes
    )
    assert not any("Rows read" in note for note in expected.notes)


def test_a_part_has_no_mean_over_the_last_epochs():
    """The cell is empty, no run is missing from it, and a note says why."""
    columns = [UA, Column("last", "UA", TEST, epochs="last")]
    file = table_file(ROWS[1:], columns, reads=READS, stars={"*": ("ps-200",)})
    runs = [run for run in shared_runs() if run.row == "all"]
    table = fill(file, runs, CLASSES)
    assert table.cells["all", "last"].mean == 75
    for row in ("ps-512", "ps-200"):
        cell = table.cells[row, "last"]
        assert (cell.mean, cell.values, cell.problems) == (None, [], [])
        assert (cell.runs, cell.planned) == (0, 0)
        assert table.cells[row, "UA"].runs == 3
    assert table.cells["all", "last"].p_values == {"ps-200": None}
    assert (
        "last: nothing for ps-512, ps-200, as runs report a mean over the last "
        "epochs for the part test alone." in table.notes
    )


def test_a_run_that_fills_several_rows_counts_once():
    """In the notes; each of its rows lacks it."""
    runs = [run for run in shared_runs() if run.row == "all"]
    runs[1].metrics["code"] = "beef"
    runs[2] = absent("all", 3, "missing")
    runs[2].more_rows = ("ps-512", "ps-200")
    table = fill(table_file(ROWS[1:], reads=READS), runs, CLASSES)
    for row in ROWS[1:]:
        assert table.cells[row, "UA"].problems == ["1 of 3 runs missing"]
    assert table.notes[-1] == (
        "1 of 3 runs is missing: all (also ps-512, ps-200), seed 3."
    )
    assert (
        "Different versions of the code made the runs: beef 1 of 2 (rows all, "
        "ps-512, ps-200); c0de 1 of 2 (rows all, ps-512, ps-200)."
        in table.notes
    )
