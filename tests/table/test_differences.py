"""Columns that subtract a part of each run from another one."""

import csv
import re
import warnings

import pytest
from scipy import stats

from speechbrain_ser.table import html_page, html_pictures, markup, pages
from speechbrain_ser.table.cells import fill
from speechbrain_ser.table.layout import Column
from speechbrain_ser.table.spec import read_table
from speechbrain_ser.table.values import value_of
from speechbrain_ser.utils.errors import InputError
from tests.table.made_up import Page
from tests.table.runs import CLASSES, TEST, absent, done, only_cell, table_file
from tests.table.stub import TABLE, run_command, write_stub
from tests.table.test_grid import planned

GAP = Column("Δ", "UA", TEST, minus="valid")


def both(row, seed, test, valid, fold=None, **more):
    """A run that is done, with a UA of two parts."""
    run = done(row, seed, fold, {"UA": test}, **more)
    run.metrics["metrics"]["valid"] = {"UA": valid}
    return run


# The file

CALM = TABLE.replace(
    "columns:\n",
    "columns:\n  Δ:\n    metric: WA\n    split: test\n"
    "    minus: train\n    better: higher\n",
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for the stub's table."""
    monkeypatch.setenv("STUB_LEDGER", str(tmp_path / "ledger"))
    return tmp_path


def test_the_file_is_read(folder):
    """What is subtracted is one part."""
    table = read_table(write_stub(folder, CALM))
    column = table.columns["Δ"]
    assert column == Column("Δ", "WA", ("test",), minus="train")
    assert column.parts == ("test", "train")
    assert table.columns["Acc"].minus is None
    assert table.columns["Acc"].parts == ("test",)


# What is replaced in the file, by what, the line and words of the error.
REFUSED = [
    ("minus: train", "minus: test", 12, "test minus itself: give"),
    ("minus: train", "minus: [train]", 12, "'minus' is ..train.*one line"),
    ("minus: train", "minus: 3", 12, "'minus' is 3"),
    ("minus: train", "minus:", 12, "'minus' is empty"),
    ("minus: train", "minos: train", 12, "write minus"),
    ("metric: WA\n", "metric: n\n", 12, "n has no difference: delete"),
    ("better: higher", "epochs: last", 12, "the last epochs are of one part"),
    # what the recipe says to it
    ("better: higher", "epochs: best", 13, "the best epoch is there for WA, "),
    (
        "minus: train",
        "minus: tests",
        12,
        "in row weak the recipe has no part tests",
    ),
    ("split: test\n", "split: tests\n", 11, "has no part tests"),
    ("metric: WA\n", "metric: WER\n", 10, "no metric WER"),
]


@pytest.mark.parametrize("old, new, line, words", REFUSED)
def test_bad_differences_are_refused_with_their_line(
    old, new, line, words, folder
):
    """One sentence, before anything runs."""
    assert CALM.count(old) == 1
    write_stub(folder, CALM.replace(old, new))
    with pytest.raises(InputError) as refused:
        planned(folder)
    start = f"{folder / 'stub_table.yaml'}, line {line}: "
    assert str(refused.value).startswith(start), refused.value
    assert re.search(words, str(refused.value)), refused.value


def test_pooled_folds_have_no_difference(folder):
    """It would be none of the runs'."""
    text = CALM.replace("better: higher", "folds: pooled")
    text = text.replace("rows:", "folds: {fold: [1, 2]}\nrows:")
    with pytest.raises(InputError, match="line 13: pooled folds have no run's"):
        read_table(write_stub(folder, text))


def test_a_row_may_read_another_part_there(folder):
    """On either side of the minus."""
    text = CALM + ("reads:\n  strong: {train: test_5, test: test_2}\n")
    table = read_table(write_stub(folder, text))
    column = table.column_of("strong", "Δ")
    assert column.parts == ("test_2", "test_5")
    assert table.column_of("weak", "Δ").parts == ("test", "train")
    assert len(planned(folder)) == 6
    write_stub(folder, text.replace("test_5", "test_6"))
    with pytest.raises(InputError, match="line 18: in row strong the rec.*_6"):
        planned(folder)


def test_rows_that_subtract_other_parts_are_two_rows(folder):
    """Of one run."""
    text = TABLE.replace("test}", "train, minus: test}").replace(
        "columns:",
        "  more: {system: strong}\nreads:\n  more: {test: test_5}\ncolumns:",
    )
    write_stub(folder, text)
    assert [job.run.rows for job in planned(folder)[::3]] == [
        ("weak",),
        ("strong", "more"),
    ]


# The numbers


def test_the_difference_is_run_by_run():
    """Folds -6 (of -10 and -2) and +1 (of +6 and -4), in points."""
    runs = [
        both("ours", 1, 0.50, 0.60, "a"),
        both("ours", 2, 0.56, 0.58, "a"),
        both("ours", 1, 0.70, 0.64, "b"),
        both("ours", 2, 0.62, 0.66, "b"),
    ]
    assert value_of(runs[0], GAP) == pytest.approx(-0.1)
    file = table_file(
        columns=[GAP], seeds=[1, 2], fold_setting="fold", folds=["a", "b"]
    )
    table = fill(file, runs, CLASSES)
    cell = table.cells["ours", "Δ"]
    assert cell.values == pytest.approx([-6, 1])
    assert cell.mean == pytest.approx(-2.5)
    assert cell.std == pytest.approx(4.949747, abs=1e-6)
    # Student's t of one degree of freedom is 12.7062; 4.949747 / sqrt(2) is 3.5
    assert cell.interval == pytest.approx((-46.9717, 41.9717), abs=1e-3)
    assert (cell.unit, cell.runs, cell.planned) == ("folds", 4, 4)
    assert cell.problems == []
    assert (
        "Differences between two parts of a run: Δ (test - valid)."
        in table.notes
    )
    # over seeds where there is one fold
    file = table_file(columns=[GAP], seeds=[1, 2])
    for run in runs[:2]:
        run.fold = None
    cell = only_cell(file, runs[:2])
    assert cell.values == pytest.approx([-10, -2])
    assert (cell.mean, cell.unit) == (pytest.approx(-6), "seeds")


def test_of_conditions_it_is_the_mean():
    """A column may be of one, as any other."""
    conditions = {"x": {"task": "x"}, "y": {"task": "y"}}
    one = Column("x Δ", "UA", TEST, condition="x", minus="valid")
    runs = [both("ours", 1, 0.5, 0.6, "x"), both("ours", 1, 0.7, 0.3, "y")]
    file = table_file(
        columns=[one, GAP], seeds=[1], conditions=conditions, folds=["x", "y"]
    )
    table = fill(file, runs, CLASSES)
    assert table.cells["ours", "x Δ"].mean == pytest.approx(-10)
    assert table.cells["ours", "Δ"].mean == pytest.approx(15)


def test_other_metrics_have_differences():
    """A recall in points, a recipe's own number as it is."""
    metrics = {"recall": {"ang": 0.5, "hap": None}, "error": 3.5}
    run = done("ours", 1, test=metrics)
    run.metrics["metrics"]["train"] = {
        "recall": {"ang": 0.75, "hap": 0.5},
        "error": 3.0,
    }
    columns = [
        Column("ang", "recall_ang", TEST, minus="train"),
        Column("hap", "recall_hap", TEST, minus="train"),
        Column("error", "error", TEST, minus="train"),
    ]
    cells = fill(table_file(columns=columns, seeds=[1]), [run], CLASSES).cells
    assert [cell.mean for cell in cells.values()] == [-25, None, 0.5]
    assert cells["ours", "hap"].problems == [
        "1 of 1 runs without a value: no recall_hap of test"
    ]


@pytest.mark.parametrize("part", ["valid", "test"])
def test_a_run_that_lacks_a_side_is_left_out(part):
    """And said; the others still count."""
    runs = [both("ours", 1, 0.5, 0.6), both("ours", 2, 0.5, 0.75)]
    del runs[0].metrics["metrics"][part]["UA"]
    runs.append(absent("ours", 3, "failed"))
    cell = only_cell(table_file(columns=[GAP]), runs)
    assert cell.values == [-25]
    assert (cell.runs, cell.planned) == (1, 3)
    assert cell.problems == [
        "1 of 3 runs failed",
        f"1 of 3 runs without a value: no UA of {part}",
    ]


def test_there_is_no_interval_over_speakers():
    """The two parts have other speakers."""
    parts = {"UA": 0.5, "confusion": [[1, 1], [1, 1]]}
    parts["speakers"] = {"s": [[1, 0], [0, 1]], "t": [[0, 1], [1, 0]]}
    runs = [done("ours", seed, None, parts, labels=["a", "b"]) for seed in "12"]
    for run, seed in zip(runs, (1, 2)):
        run.seed = seed
        run.metrics["metrics"]["valid"] = parts
    columns = [GAP, Column("UA", "UA", TEST)]
    table = fill(table_file(columns=columns, seeds=[1, 2]), runs, ["a", "b"])
    assert table.cells["ours", "UA"].speakers is not None
    assert table.cells["ours", "Δ"].speakers is None


def compared(runs, **changes):
    """The cell of ours, tested against base."""
    column = Column("Δ", "UA", TEST, minus="valid", **changes)
    file = table_file(["base", "ours"], [column], stars={"*": ("base",)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return fill(file, runs, CLASSES).cells["ours", "Δ"]


def pairs(**more):
    """Differences of -10, -12 and -11 against -1, 0 and 1 points."""
    base = [(0.5, 0.6), (0.5, 0.62), (0.6, 0.71)]
    ours = [(0.4, 0.41), (0.4, 0.4), (0.42, 0.41)]
    runs = [both("base", seed, *two) for seed, two in enumerate(base, 1)]
    return runs + [
        both("ours", seed, *two, **more) for seed, two in enumerate(ours, 1)
    ]


def test_stars_go_by_the_difference():
    """Ours is worse on each part alone, and loses less."""
    cell = compared(pairs())
    p = stats.ttest_rel([-1, 0, 1], [-10, -12, -11]).pvalue
    assert cell.p_values == pytest.approx({"base": p}) and p < 0.05
    assert cell.stars == "*"
    assert compared(pairs(), better="lower").stars == ""


@pytest.mark.parametrize(
    "hashes, tested",
    [
        ({"test": "eNone", "valid": "v"}, True),
        ({"test": "eNone", "valid": "w"}, False),
        ({"test": "d", "valid": "v"}, False),
        # the other way round, and that of the whole split
        ({"test": "v", "valid": "eNone"}, False),
        ({"test": "eNone"}, False),
    ],
)
def test_both_parts_must_be_the_same(hashes, tested):
    """Else there is no test."""
    runs = pairs(parts_sha256=hashes)
    for run in runs[:3]:
        run.metrics["parts_sha256"] = {"test": "eNone", "valid": "v"}
    cell = compared(runs)
    assert (cell.p_values["base"] is not None) == tested
    assert cell.stars == ("*" if tested else "")


def test_rounding_is_no_difference():
    """0.1 + 0.2 is not 0.3 there."""
    noisy = [(0.1 + 0.2, 0.3), (0.3, 0.3), (0.3, 0.3)]
    runs = [both("base", seed, 0.5, 0.5) for seed in (1, 2, 3)]
    runs += [both("ours", seed, *two) for seed, two in enumerate(noisy, 1)]
    assert value_of(runs[3], GAP) != 0
    assert compared(runs).p_values == {"base": None}


# The pages


@pytest.fixture
def table(tmp_path):
    """Two rows: +6 and -10 points, and a difference that rounds to zero."""
    columns = [Column("UA (%)", "UA", TEST), GAP]
    file = table_file(["ours", "even"], columns, seeds=[1, 2])
    file.paper = {"Δ": {"ours": "-0.33"}}
    runs = [
        both("ours", 1, 0.70, 0.64),
        both("ours", 2, 0.50, 0.60),
        both("even", 1, 0.5, 0.500001),
        both("even", 2, 0.5, 0.500001),
    ]
    return fill(file, runs, CLASSES)


def test_all_pages_show_the_sign(table, small_pictures, tmp_path):
    """Not that of a mean, and none of zero's two."""
    half = stats.t.ppf(0.975, 1) * 8
    interval = f"[{-2 - half:.2f}, +{half - 2:.2f}]"
    line = (
        f"| ours | 60.00 ± 14.14 | [-67.06, 187.06] | -2.00 ± 11.31 "
        f"| {interval} | -0.33 | 2 |"
    )
    text = markup.to_markdown(table)
    assert line in text.splitlines()
    assert "| +0.00 ± 0.00 | [+0.00, +0.00] | – | 2 |" in text
    assert re.search(
        r"ours +60.00 ± 14.14 .* -2.00 ± 11.31 ", markup.to_text(table)
    )
    latex = markup.to_latex(table)
    assert r"{c}{$\Delta$}" in latex and "Δ" not in latex
    assert rf"-2.00 $\pm$ 11.31 & {interval} & -0.33" in latex
    page = Page(html_page.to_html(table, str(tmp_path)))
    assert page.tables[0][2] == [*line[2:-2].split(" | ")]
    assert [row[3:5] for row in page.tables[-1][1:]] == [
        ["70.00", "+6.00"],
        ["50.00", "-10.00"],
        ["50.00", "+0.00"],
        ["50.00", "+0.00"],
    ]
    pages.write_pages(table, tmp_path / "out")
    with open(tmp_path / "out" / "table.csv", encoding="utf-8") as file:
        cells = list(csv.DictReader(file))
    assert [cell["splits"] for cell in cells[:2]] == [
        "test",
        "test - valid",
    ]
    assert cells[1]["mean"] == "-2.0" and cells[1]["paper"] == "-0.33"
    with open(tmp_path / "out" / "runs.csv", encoding="utf-8") as file:
        assert [row["Δ"] for row in csv.DictReader(file)][:2] == [
            "6.0",
            "-10.0",
        ]


def test_bars_may_go_below_zero(table, small_pictures, tmp_path, monkeypatch):
    """The axis has no end at 100, and so none at 0."""
    tops = []

    def draw(path, bars, label, title, unit, top):
        tops.append((label, top))
        return plot(path, bars, label, title, unit, top)

    plot = html_pictures.plot_bars
    monkeypatch.setattr(html_pictures, "plot_bars", draw)
    page = Page(html_page.to_html(table, str(tmp_path)))
    assert tops == [("UA (%)", 100), ("Δ", None)]
    assert [image["alt"] for image in page.all("img")][1] == (
        "Bars of Δ for each row: ours -2.00 ± 11.31, even +0.00 ± 0.00"
    )


def test_the_command_makes_them(folder):
    """The stub's further parts have one right of ten less, each."""
    text = TABLE.replace("weak: {system: weak}", "weak: {number_of_epochs: 3}")
    text = text.replace(
        "test}",
        "test_2, minus: test}\n"
        "  MSE: {metric: valence_MSE, split: test_5, minus: test}",
    ).replace("seeds: [1, 2, 3]", "seeds: [1]\noverrides: {system: strong}")
    write_stub(folder, text.replace("{system: strong}\ncol", "{}\ncol"))
    done = run_command(folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" -20.00  ") == 2
    assert done.stdout.count(" +0.1000  ") == 2
    assert "Acc (test_2 - test), MSE (" in done.stdout
