"""The numbers of conditions beside each other, and of their average."""

import re

import numpy as np
import pytest
from scipy import stats

from speechbrain_ser.table import html_page, html_pictures, pages
from speechbrain_ser.table.cells import fill
from speechbrain_ser.table.layout import Column
from tests.table.runs import (
    CLASSES,
    TEST,
    absent,
    done,
    made_up,
    scored,
    table_file,
    with_ua,
)

ARO, VAL = "r2i arousal", "r2i valence"
COLUMNS = (
    Column(ARO, "UA", TEST, condition=ARO),
    Column(VAL, "UA", TEST, condition=VAL),
    Column("average", "UA", TEST),
)
CONDITIONS = {
    ARO: {"direction": "r2i", "task": "arousal"},
    VAL: {"direction": "r2i", "task": "valence"},
}


def cross_file(rows=("ours",), columns=COLUMNS, **more):
    """A table file of two conditions."""
    more = {"conditions": CONDITIONS, "folds": list(CONDITIONS)} | more
    return table_file(rows, columns, **more)


def by_hand(values):
    """Mean, std and interval, by NumPy and SciPy."""
    mean, error = np.mean(values), stats.sem(values)
    interval = stats.t.interval(0.95, len(values) - 1, mean, error)
    return mean, np.std(values, ddof=1), interval


def check(cell, values, runs, planned_runs, unit="seeds"):
    """A cell is what these values of the seeds make."""
    mean, std, interval = by_hand(values)
    assert cell.values == pytest.approx(values)
    assert cell.mean == pytest.approx(mean)
    assert cell.std == pytest.approx(std)
    assert cell.interval == pytest.approx(interval)
    assert (cell.runs, cell.planned) == (runs, planned_runs)
    assert cell.unit == unit


def test_a_column_is_one_condition_and_the_average_goes_seed_by_seed():
    """Not the std of all six values, nor of the two conditions' means."""
    runs = with_ua("ours", [0.70, 0.73, 0.76], ARO, split_sha256="1" * 64)
    runs += with_ua("ours", [0.56, 0.55, 0.51], VAL, split_sha256="2" * 64)
    for run in runs[3:]:
        run.metrics["protocol"], run.metrics["labels"] = "q@1", ["a", "b"]
    table = fill(cross_file(), runs[::-1], CLASSES)
    cells = {name: table.cells["ours", name] for name in (ARO, VAL, "average")}
    check(cells[ARO], [70, 73, 76], 3, 3)
    check(cells[VAL], [56, 55, 51], 3, 3)
    check(cells["average"], [63, 64, 63.5], 6, 6)
    assert all(cell.problems == [] for cell in cells.values())
    # the classes differ, and so there is no matrix
    assert table.confusions == {"ours": None}


def test_a_seed_without_a_condition_is_not_in_the_average():
    """Each column says what it lacks."""
    runs = with_ua("ours", [0.70, 0.73, 0.76], ARO)
    runs += with_ua("ours", [0.56, 0.55], VAL, first_seed=2)
    runs.append(absent("ours", 1, "failed", "no memory", fold=VAL))
    table = fill(cross_file(), runs, CLASSES)
    check(table.cells["ours", ARO], [70, 73, 76], 3, 3)
    assert table.cells["ours", ARO].problems == []
    check(table.cells["ours", VAL], [56, 55], 2, 3)
    assert table.cells["ours", VAL].problems == ["1 of 3 runs failed"]
    check(table.cells["ours", "average"], [64.5, 65.5], 4, 6)
    assert table.cells["ours", "average"].problems == [
        "1 of 6 runs failed",
        "seed 1 is left out: it has 1 of 2 conditions",
    ]


def test_no_seed_has_all_conditions():
    """Then there is no average, and it says why."""
    runs = with_ua("ours", [0.70, 0.73, 0.76], ARO)
    runs += [absent("ours", seed, "missing", fold=VAL) for seed in (1, 2, 3)]
    table = fill(cross_file(), runs, CLASSES)
    average = table.cells["ours", "average"]
    assert (average.mean, average.values, average.runs) == (None, [], 0)
    assert average.problems == ["3 of 6 runs missing"] + [
        f"seed {seed} is left out: it has 1 of 2 conditions"
        for seed in (1, 2, 3)
    ]
    assert table.cells["ours", VAL].problems == ["3 of 3 runs missing"]
    assert table.cells["ours", ARO].mean == pytest.approx(73)


@pytest.mark.parametrize(
    "key, what",
    [
        ("protocol", "protocols"),
        ("labels", "classes"),
        ("split_sha256", "splits"),
    ],
)
def test_within_a_condition_nothing_may_differ(key, what):
    """The other condition keeps its numbers; the average has none."""
    runs = with_ua("ours", [0.70, 0.73, 0.76], ARO)
    runs += with_ua("ours", [0.56, 0.55, 0.51], VAL)
    for run, value in zip(runs[3:], "aab"):
        run.metrics[key] = value
    cells = fill(cross_file(), runs, CLASSES).cells
    check(cells["ours", ARO], [70, 73, 76], 3, 3)
    for name in (VAL, "average"):
        cell = cells["ours", name]
        assert cell.mean is None
        (problem,) = cell.problems
        assert problem == (
            f"runs of different {what} are not averaged: condition {VAL}, "
            f"seed 1 and condition {VAL}, seed 2 have a, condition {VAL}, "
            "seed 3 has b"
        )


def test_other_numbers_and_means_of_last_epochs():
    """Each column reads what it names, in its condition."""
    runs = [
        done(
            "ours",
            seed,
            fold,
            {"error": 10 * seed + base, "recall": {"ang": base / 10}},
            test_mean_of_last_epochs={"UA": {"mean": base / 10}},
            sizes={"test": 30 + base},
        )
        for fold, base in ((ARO, 4), (VAL, 6))
        for seed in (1, 2, 3)
    ]
    columns = [
        Column("n", "n", TEST, condition=VAL),
        Column("error", "error", TEST, better="lower"),
        Column("anger", "recall_ang", TEST),
        Column("last", "UA", TEST, epochs="last"),
        Column("last one", "UA", TEST, epochs="last", condition=ARO),
    ]
    cells = fill(cross_file(columns=columns), runs, CLASSES).cells
    found = {name: cell.values for (_, name), cell in cells.items()}
    assert found == {
        "n": [36] * 3,
        "error": [15, 25, 35],
        "anger": pytest.approx([50] * 3),
        "last": pytest.approx([50] * 3),
        "last one": [40] * 3,
    }
    assert cells["ours", "n"].planned == 3
    assert cells["ours", "error"].planned == 6


def test_stars_of_a_condition_and_of_the_average():
    """Paired by seed in each; a part differs in one condition alone."""
    shares = {
        ("base", ARO): [0.50, 0.52, 0.51, 0.55],
        ("base", VAL): [0.50, 0.58, 0.52, 0.55],
        ("ours", ARO): [0.60, 0.64, 0.60, 0.66],
        ("ours", VAL): [0.53, 0.54, 0.58, 0.53],
    }
    runs = [
        run
        for (row, fold), own in shares.items()
        for run in with_ua(row, own, fold)
    ]
    file = cross_file(
        ["base", "ours"], seeds=[1, 2, 3, 4], stars={"*": ("base",)}
    )
    table = fill(file, runs, CLASSES)
    values = {key: 100 * np.array(own) for key, own in shares.items()}
    for row in ("base", "ours"):
        values[row, "average"] = (values[row, ARO] + values[row, VAL]) / 2
    stars = {}
    for name in (ARO, VAL, "average"):
        cell = table.cells["ours", name]
        p = stats.ttest_rel(values["ours", name], values["base", name]).pvalue
        assert cell.p_values == pytest.approx({"base": p})
        stars[name] = cell.stars
    assert stars == {ARO: "*", VAL: "", "average": "*"}
    assert any(note.endswith("over the same 4 seeds.") for note in table.notes)
    # a run that is not there: two of the three tests have a seed less
    lost = next(run for run in runs if (run.row, run.fold) == ("base", VAL))
    lost.status = "failed"
    table = fill(file, runs, CLASSES)
    p = stats.ttest_rel(
        values["ours", "average"][1:], values["base", "average"][1:]
    ).pvalue
    cell = table.cells["ours", "average"]
    assert cell.p_values == pytest.approx({"base": p})
    assert (
        "the test of ours against base is over 3 of 4 seeds "
        f"({VAL}, average)." in table.notes
    )
    # another evaluated part in one condition
    for run in runs:
        if (run.row, run.fold) == ("ours", VAL):
            run.metrics["parts_sha256"] = {"test": "other"}
    table = fill(file, runs, CLASSES)
    assert table.cells["ours", ARO].stars == "*"
    assert table.cells["ours", VAL].p_values == {"base": None}
    assert table.cells["ours", "average"].p_values == {"base": None}
    assert (
        "there is no test of ours against base: they are evaluated on "
        f"different parts ({VAL}, average)." in table.notes
    )


def test_matrices_and_speakers():
    """A matrix of all runs; an interval over speakers of one condition."""
    runs = [
        done("ours", seed, fold, scored(*made_up(30, f"{fold}{seed}")))
        for fold in CONDITIONS
        for seed in (1, 2, 3)
    ]
    table = fill(cross_file(), runs, CLASSES)
    matrices = [
        np.array(run.metrics["metrics"]["test"]["confusion"]) for run in runs
    ]
    assert table.confusions == {"ours": sum(matrices).tolist()}
    alone = table_file(columns=COLUMNS[2:])
    own = [done("ours", r.seed, None, **r.metrics) for r in runs[:3]]
    for run, old in zip(own, runs):
        run.metrics["metrics"] = old.metrics["metrics"]
    expected = fill(alone, own, CLASSES).cells["ours", "average"].speakers
    assert expected is not None
    assert table.cells["ours", ARO].speakers == expected
    assert table.cells["ours", VAL].speakers not in (None, expected)
    assert table.cells["ours", "average"].speakers is None
    for run in runs[3:]:
        run.metrics["labels"] = CLASSES[::-1]
    for labels in (CLASSES, CLASSES[::-1], None):
        assert fill(cross_file(), runs, labels).confusions == {"ours": None}


def test_the_notes_say_what_columns_and_average_are():
    """And where each split belongs; synthetic voices are said once."""
    columns = [
        *COLUMNS,
        Column("WA", "WA", TEST, condition=ARO),
        Column("WA, mean", "WA", TEST),
    ]
    runs = with_ua("ours", [0.5, 0.6, 0.7], ARO, split_sha256="1" * 64)
    runs += with_ua("ours", [0.5, 0.6, 0.7], VAL, split_sha256="2" * 64)
    runs[5] = absent("ours", 3, "missing", fold=VAL)
    runs[5].fold_word = "condition"
    conditions = {ARO: CONDITIONS[ARO], VAL: {}}
    file = cross_file(columns=columns, conditions=conditions)
    notes = fill(file, runs, CLASSES).notes
    assert notes[:5] == [
        "mean ± std (ddof 1) and 95 % interval (Student's t) over 3 seeds.",
        "Seeds differ by the noise of training alone, on one split: they say "
        "nothing about other speakers or other training data.",
        "Conditions: r2i arousal (direction r2i, task arousal), r2i valence "
        "(nothing set).",
        "Of the runs of one condition: r2i arousal, r2i valence, WA (r2i "
        "arousal).",
        "average, WA, mean: a seed's value is its mean over all 2 conditions; "
        "a seed that lacks one is left out.",
    ]
    assert (
        "Data: corpus nemo, protocol p@1, splits 11111111 (condition r2i "
        "arousal), 22222222 (condition r2i valence)." in notes
    )
    assert notes[-1] == (
        "1 of 6 runs is missing: ours, condition r2i valence, seed 3."
    )
    assert not any("fold" in note for note in notes)
    for run, protocol in zip(runs[:5], "pppqq"):
        run.metrics.update(protocol=f"{protocol}@1", corpus="mini")
    notes = fill(file, runs, CLASSES).notes
    data = [note for note in notes if note.startswith("Data")]
    assert [re.findall(r"protocol (.)@1|\((.*?),", note) for note in data] == [
        [("p", ""), ("", "condition r2i arousal")],
        [("q", ""), ("", "condition r2i valence")],
    ]
    assert sum("synthetic" in note for note in notes) == 1


def test_bars_of_conditions_and_of_the_average(tmp_path, monkeypatch):
    """Points are seeds; one of a condition is not drawn in another."""
    drawn = {}
    monkeypatch.setattr(
        html_pictures, "picture", lambda draw, *_: draw("p") or ""
    )
    monkeypatch.setattr(
        html_pictures,
        "plot_bars",
        lambda path, bars, name, title, unit, top: drawn.update(
            {name: (bars, unit)}
        ),
    )
    runs = with_ua("ours", [0.70, 0.73, 0.76], ARO)
    runs += with_ua("ours", [0.56, 0.55, 0.51], VAL)
    table = fill(cross_file(), runs, CLASSES)
    text = html_page.to_html(table, str(tmp_path))
    assert {unit for _, unit in drawn.values()} == {"seed"}
    points = {name: bars[0]["values"] for name, (bars, _) in drawn.items()}
    assert points == {
        ARO: pytest.approx([70, 73, 76]),
        VAL: pytest.approx([56, 55, 51]),
        "average": pytest.approx([63, 64, 63.5]),
    }
    # the table of the runs: no value in the other condition's column
    first = text[text.index("<h2>Runs</h2>") :].split("<tr>")[2]
    assert re.findall(r"<td>([^<]*)</td>", first)[:5] == [
        *(ARO, "1", "70.00", "–", "70.00")
    ]
    (line, *_) = pages.run_lines(table, str(tmp_path))
    assert (line["condition"], line[VAL]) == (ARO, None)
