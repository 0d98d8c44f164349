"""Tests of rows against each other are SciPy's."""

import warnings

import numpy as np
import pytest
from scipy import stats

from speechbrain_ser.table.cells import fill
from speechbrain_ser.table.layout import Column
from tests.table.runs import (
    CLASSES,
    SPLIT,
    TEST,
    UA,
    absent,
    done,
    table_file,
    with_ua,
)


def test_p_values_are_scipys_and_go_to_the_better_row():
    """Paired by seed; the worse row has the same p and no star."""
    ours, base, even = (
        [0.70, 0.72, 0.69, 0.75],
        [0.60, 0.66, 0.61, 0.64],
        [0.71, 0.69, 0.74, 0.70],
    )
    runs = with_ua("ours", ours) + with_ua("base", base) + with_ua("even", even)
    file = table_file(
        ["base", "even", "ours"], seeds=[1, 2, 3, 4], stars={"*": ("base",)}
    )
    table = fill(file, runs, CLASSES)
    for row, shares in (("ours", ours), ("even", even)):
        cell = table.cells[row, "UA"]
        assert cell.p_values == pytest.approx(
            {"base": stats.ttest_rel(shares, base).pvalue}
        )
    assert table.cells["ours", "UA"].p_values["base"] < 0.01
    assert table.cells["ours", "UA"].stars == "*"
    assert table.cells["base", "UA"].p_values == {}
    assert (
        "*: p < 0.05 against base, paired t-test (scipy.stats.ttest_rel) over "
        "the same 4 seeds." in table.notes
    )
    against = table_file(
        ["base", "even", "ours"],
        seeds=[1, 2, 3, 4],
        stars={"*": ("ours",), "+": ("even",)},
    )
    cells = fill(against, runs, CLASSES).cells
    assert cells["base", "UA"].p_values["ours"] < 0.01
    assert cells["base", "UA"].stars == ""
    assert cells["ours", "UA"].p_values["even"] > 0.05
    assert cells["ours", "UA"].stars == ""


def test_lower_is_better():
    """Of an error, the lower mean has the star."""
    column = Column("error", "err", TEST, better="lower")
    runs = [
        done(row, seed, test={"err": value})
        for row, values in (("a", [3.0, 3.1, 3.3]), ("b", [2.0, 2.2, 2.1]))
        for seed, value in enumerate(values, 1)
    ]
    file = table_file("ab", [column], stars={"*": ("a",), "+": ("b",)})
    cells = fill(file, runs, CLASSES).cells
    assert cells["b", "error"].stars == "*"
    assert cells["a", "error"].stars == ""
    assert cells["a", "error"].p_values["b"] < 0.05


def test_a_star_that_another_implies_is_dropped():
    """Only with all of its rows beaten does the stronger one stand."""
    noise = [0.0, 0.01, -0.01, 0.005]
    shares = {
        "a": [0.4] * 4,
        "b": [0.5, 0.52, 0.48, 0.5],
        "both": [0.6 + x for x in noise],
        "one": [0.44 + x for x in noise],
    }
    runs = [r for row, own in shares.items() for r in with_ua(row, own)]
    stars = {"*": ("a",), "**": ("a", "b"), "†": ("b",)}
    file = table_file(shares, seeds=[1, 2, 3, 4], stars=stars)
    cells = fill(file, runs, CLASSES).cells
    assert cells["both", "UA"].stars == "**"
    assert cells["one", "UA"].stars == "*"
    assert set(cells["one", "UA"].p_values) == {"a", "b"}
    # A row that a symbol names cannot have it.
    assert cells["b", "UA"].stars == "*"
    assert cells["a", "UA"].stars == ""
    assert set(cells["a", "UA"].p_values) == {"b"}
    # Different rows imply nothing: both stay.
    file.stars = {"*": ("a",), "†": ("b",)}
    assert fill(file, runs, CLASSES).cells["both", "UA"].stars == "*†"


def test_tests_go_over_the_common_seeds():
    """Which is said, and the better mean is over these too."""
    ours, base = [0.70, 0.72, 0.69], [0.60, 0.66, 0.61, 0.99]
    runs = with_ua("ours", ours) + [absent("ours", 4, "failed")]
    runs += with_ua("base", base)
    file = table_file(
        ["base", "ours"], seeds=[1, 2, 3, 4], stars={"*": ("base",)}
    )
    table = fill(file, runs, CLASSES)
    cell = table.cells["ours", "UA"]
    assert cell.mean < table.cells["base", "UA"].mean
    assert cell.p_values == pytest.approx(
        {"base": stats.ttest_rel(ours, base[:3]).pvalue}
    )
    assert cell.stars == "*"
    assert "the test of ours against base is over 3 of 4 seeds." in table.notes


def test_tests_over_folds_and_pooled():
    """Pairs are folds where the mean is over folds."""
    shares = {
        "base": {"a": [0.4, 0.5], "b": [0.6, 0.7], "c": [0.5, 0.5]},
        "ours": {"a": [0.6, 0.6], "b": [0.8, 0.85], "c": [0.7, 0.62]},
    }
    runs = [
        run
        for row, folds in shares.items()
        for fold, own in folds.items()
        for run in with_ua(row, own, fold)
    ]
    file = table_file(
        ["base", "ours"],
        seeds=[1, 2],
        fold_setting="fold",
        folds=["a", "b", "c"],
        stars={"*": ("base",)},
    )
    table = fill(file, runs, CLASSES)
    means = {
        row: [np.mean(own) for own in folds.values()]
        for row, folds in shares.items()
    }
    cell = table.cells["ours", "UA"]
    assert cell.p_values == pytest.approx(
        {"base": stats.ttest_rel(means["ours"], means["base"]).pvalue}
    )
    assert cell.stars == "*"
    assert any(note.endswith("the same 3 folds.") for note in table.notes)
    # A row without one of the folds.
    fewer = [
        run
        if (run.row, run.fold) != ("base", "b")
        else absent("base", run.seed, "failed", fold="b")
        for run in runs
    ]
    table = fill(file, fewer, CLASSES)
    assert table.cells["ours", "UA"].p_values == pytest.approx(
        {"base": stats.ttest_rel([0.6, 0.66], [0.45, 0.5]).pvalue}
    )
    assert "the test of ours against base is over 2 of 3 folds." in table.notes
    # Another evaluated part in one fold: no test.
    for run in runs:
        if (run.row, run.fold) == ("ours", "c"):
            run.metrics["parts_sha256"] = {"test": "other"}
    assert fill(file, runs, CLASSES).cells["ours", "UA"].p_values == {
        "base": None
    }


@pytest.mark.parametrize(
    "ours, parts, note",
    [
        ([0.75, 0.625], "eNone", "over 2 of 3 seeds."),
        ([0.75], "eNone", "they have fewer than two seeds in common."),
        ([0.75, 0.75, 0.75], "eNone", "all differences are the same."),
        ([0.5, 0.5, 0.5], "eNone", "all differences are the same."),
        ([0.9, 0.8, 0.9], "x", "they are evaluated on different parts."),
    ],
)
def test_when_there_is_no_test(ours, parts, note):
    """Too few seeds, no variance, other utterances; the note says which."""
    runs = with_ua("ours", ours, parts_sha256={"train": "q", "test": parts})
    runs += [absent("ours", s, "missing") for s in range(len(ours) + 1, 4)]
    runs += with_ua("base", [0.5, 0.5, 0.5])
    file = table_file(["base", "ours"], stars={"*": ("base",)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = fill(file, runs, CLASSES)
    cell = table.cells["ours", "UA"]
    assert cell.stars == ""
    (said,) = [text for text in table.notes if "of ours against base" in text]
    assert said.endswith(note)
    tested = note == "over 2 of 3 seeds."
    assert (cell.p_values["base"] is not None) == tested
    assert any(text.startswith("*: ") for text in table.notes) == tested


def test_equal_differences_but_for_rounding():
    """They have no variance either."""
    base = [0.57, 0.58, 0.59]
    ours = [share + 0.1 for share in base]
    assert np.ptp(100 * np.array(ours) - 100 * np.array(base)) > 0
    runs = with_ua("base", base) + with_ua("ours", ours)
    file = table_file(["base", "ours"], stars={"*": ("base",)})
    cell = fill(file, runs, CLASSES).cells["ours", "UA"]
    assert (cell.p_values, cell.stars) == ({"base": None}, "")


def test_a_remark_names_its_columns():
    """Where others have their test."""
    columns = [UA, Column("WA", "WA", TEST), Column("n", "n", TEST)]
    runs = [
        done(row, seed, test={"UA": share, "WA": wa})
        for row, pairs in (
            ("base", [(0.5, 0.5), (0.5, 0.5), (0.5, 0.5)]),
            ("ours", [(0.7, 0.7), (0.7, 0.8), (0.7, 0.9)]),
        )
        for seed, (share, wa) in enumerate(pairs, 1)
    ]
    file = table_file(["base", "ours"], columns, stars={"*": ("base",)})
    table = fill(file, runs, CLASSES)
    assert (
        "there is no test of ours against base: all differences are the same "
        "(UA)." in table.notes
    )
    assert table.cells["ours", "n"].p_values == {}


def test_one_seed_cannot_be_tested():
    """Said once, not for every pair."""
    runs = [r for row in "abc" for r in with_ua(row, [0.5])]
    file = table_file("abc", seeds=[1], stars={"*": ("a",)})
    table = fill(file, runs, CLASSES)
    assert [note for note in table.notes if "test" in note] == [
        "there are no tests: they need two seeds."
    ]


def test_parts_without_a_hash_are_those_of_the_split():
    """The valid part has none of its own."""
    column = Column("UA", "UA", ("valid",))
    file = table_file(["base", "ours"], [column], stars={"*": ("base",)})

    def p_value(split):
        """Tests two rows where one has this split."""
        runs = with_ua("base", [0.5, 0.6, 0.5])
        runs += with_ua("ours", [0.7, 0.7, 0.8], split_sha256=split)
        for run in runs:
            metrics = run.metrics["metrics"]
            metrics["valid"] = metrics["test"]
        return fill(file, runs, None).cells["ours", "UA"].p_values["base"]

    assert p_value(SPLIT) == pytest.approx(
        stats.ttest_rel([0.7, 0.7, 0.8], [0.5, 0.6, 0.5]).pvalue
    )
    assert p_value("0" * 64) is None
