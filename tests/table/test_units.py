"""The units of intervals and tests: what is independent, and nothing more."""

import re

import numpy as np
import pytest
from scipy import stats

from speechbrain_ser.table.cells import fill
from speechbrain_ser.table.comparisons import holm, sign_flip_test
from speechbrain_ser.table.layout import Column
from speechbrain_ser.table.spec import read_table
from speechbrain_ser.table.values import value_of
from speechbrain_ser.utils.errors import InputError
from tests.table.runs import (
    CLASSES,
    TEST,
    absent,
    done,
    made_up,
    only_cell,
    scored,
    table_file,
    ua,
    with_ua,
)
from tests.table.stub import TABLE, write_stub

TEN = list(range(1, 11))


def ten_folds(**more):
    """A table of ten folds and one seed."""
    return table_file(
        ["base", "ours"],
        seeds=[1],
        fold_setting="fold",
        folds=TEN,
        stars={"*": ("base",)},
        **more,
    )


def runs_of(shares, paired):
    """Runs of ten folds; `paired` ones have their train part in twos."""
    return [
        done(
            row,
            1,
            fold,
            {"UA": share},
            parts_sha256={
                "train": f"{(fold + 1) // 2 if paired else fold}",
                "test": f"{fold}",
            },
        )
        for row, own in shares.items()
        for fold, share in zip(TEN, own)
    ]


# Folds that are one model


def test_folds_of_one_train_part_are_one_unit():
    """Values, std, interval and test are over the five pairs' means."""
    draw = np.random.default_rng(3)
    shares = {row: draw.uniform(0.5, 0.7, 10) for row in ("base", "ours")}
    table = fill(ten_folds(), runs_of(shares, paired=True), CLASSES)
    pairs = {
        row: 100 * own.reshape(5, 2).mean(axis=1) for row, own in shares.items()
    }
    cell, values = table.cells["ours", "UA"], pairs["ours"]
    assert cell.values == pytest.approx(values.tolist())
    assert cell.mean == pytest.approx(values.mean())
    assert cell.std == pytest.approx(values.std(ddof=1))
    assert cell.interval == pytest.approx(
        stats.t.interval(0.95, 4, values.mean(), stats.sem(values))
    )
    assert cell.p_values == pytest.approx(
        {"base": stats.ttest_rel(values, pairs["base"]).pvalue}
    )
    assert (cell.runs, cell.planned, cell.tested) == (10, 10, {"base": 5})
    assert table.notes[0].endswith("over 5 folds.")
    assert (
        "Folds 1 and 2; 3 and 4; 5 and 6; 7 and 8; 9 and 10 train on the same "
        "utterances: they are one model, or hang together, and count once, as "
        "their mean." in table.notes
    )
    assert any("paired t-test" in n and "5 folds." in n for n in table.notes)
    alone = fill(ten_folds(), runs_of(shares, paired=False), CLASSES)
    assert len(alone.cells["ours", "UA"].values) == 10
    assert not any("train on the same" in note for note in alone.notes)


def test_one_row_joins_the_folds_of_all():
    """Rows are compared in the same units; a chain of folds is one unit."""
    shares = {"base": np.linspace(0.4, 0.6, 10), "ours": np.full(10, 0.5)}
    runs = runs_of(shares, paired=False)
    for run, part in zip(runs[:3], "aab"):
        run.metrics["parts_sha256"]["train"] = part
    for run, part in zip(runs[10:13], "cdd"):
        run.metrics["parts_sha256"]["train"] = part
    table = fill(ten_folds(), runs, CLASSES)
    for row in ("base", "ours"):
        values = 100 * shares[row]
        expected = [values[:3].mean(), *values[3:]]
        assert table.cells[row, "UA"].values == pytest.approx(expected)
    # in one row alone the same part is no other row's
    for run in runs:
        run.metrics["parts_sha256"]["train"] = f"{run.row}{run.fold}"
    runs[0].metrics["parts_sha256"]["train"] = "one"
    runs[11].metrics["parts_sha256"]["train"] = "one"
    assert (
        len(fill(ten_folds(), runs, CLASSES).cells["base", "UA"].values) == 10
    )


def test_a_pair_with_a_lost_fold_is_its_other_fold():
    """The unit stays; what all have lost is left out."""
    shares = {"base": np.linspace(0.4, 0.6, 10), "ours": np.full(10, 0.5)}
    runs = runs_of(shares, paired=True)
    for place in (0, 2, 3):
        runs[place] = absent("base", 1, "failed", fold=TEN[place])
    table = fill(ten_folds(), runs, CLASSES)
    values = 100 * shares["base"]
    assert table.cells["base", "UA"].values == pytest.approx(
        [values[1], *values[4:].reshape(3, 2).mean(axis=1)]
    )
    # of the first pair the rows have other folds
    assert "the test of ours against base is over 3 of 5 folds." in table.notes
    p = stats.ttest_rel(np.full(3, 50), values[4:].reshape(3, 2).mean(axis=1))
    cell = table.cells["ours", "UA"]
    assert cell.p_values == pytest.approx({"base": p.pvalue})


def test_pairs_that_are_one_model_do_not_lie():
    """No row is better: ten folds of five models find one all the same."""
    draw = np.random.default_rng(1)
    found = {True: [], False: []}
    for _ in range(160):
        shares = {}
        for row in ("base", "ours"):
            models = draw.normal(0.6, 0.03, 5)
            shares[row] = np.repeat(models, 2) + draw.normal(0, 0.003, 10)
        for paired, values in found.items():
            runs = runs_of(shares, paired)
            cell = fill(ten_folds(), runs, CLASSES).cells["ours", "UA"]
            values.append(cell.p_values["base"])
    old, new = (np.mean(np.array(found[p]) < 0.05) for p in (False, True))
    assert old > 0.14  # as if the folds were independent
    assert 0.02 < new < 0.08


# Speakers, where there are no folds


def spoken(row, seed, skill, speakers=6, n=120):
    """A run whose part names its speakers; and its labels and predictions."""
    found = made_up(n, 100 * seed, speakers=speakers)
    labels, _, who = found
    _, predictions, _ = made_up(n, 100 * seed, speakers=speakers, skill=skill)
    del found
    return done(row, seed, test=scored(labels, predictions, who)), (
        np.array(labels),
        np.array(predictions),
        np.array(who),
    )


def test_without_folds_speakers_are_the_units():
    """Each averaged over the seeds; the mean is that of the whole part."""
    made = {
        (row, seed): spoken(row, seed, skill)
        for row, skill in (("base", 0.4), ("ours", 0.7))
        for seed in (1, 2)
    }
    runs = [run for run, _ in made.values()]
    columns = [Column("UA", "UA", TEST), Column("last", "UA", TEST, "last")]
    for run in runs:
        last = {"UA": {"mean": 0.5 + run.seed / 10}}
        run.metrics["test_mean_of_last_epochs"] = last
    file = table_file(
        ["base", "ours"], columns, seeds=[1, 2], stars={"*": ("base",)}
    )
    table = fill(file, runs, CLASSES)
    names = [f"s{i}" for i in range(6)]

    def share(row, keep):
        """The mean over seeds of the UA of some speakers together."""
        shares = []
        for seed in (1, 2):
            labels, predictions, who = made[row, seed][1]
            held = np.isin(who, keep)
            shares.append(100 * ua(labels[held], predictions[held]))
        return np.mean(shares)

    own = {row: [share(row, [s]) for s in names] for row in ("base", "ours")}
    cell = table.cells["ours", "UA"]
    assert cell.unit == "speakers" and cell.values == pytest.approx(own["ours"])
    assert cell.mean == pytest.approx(share("ours", names))
    assert cell.std == pytest.approx(np.std(own["ours"], ddof=1))
    rest = [share("ours", [s for s in names if s != out]) for out in names]
    error = np.sqrt(5 / 6 * np.sum((rest - np.mean(rest)) ** 2))
    half = stats.t.ppf(0.975, 5) * error
    assert cell.interval == pytest.approx((cell.mean - half, cell.mean + half))
    assert cell.p_values == pytest.approx(
        {"base": stats.ttest_rel(own["ours"], own["base"]).pvalue}
    )
    assert cell.tested == {"base": 6}
    last = table.cells["ours", "last"]
    assert last.unit == "seeds" and last.values == pytest.approx([60, 70])
    notes = "\n".join(table.notes)
    assert "the one training set that there is" in notes
    assert (
        "UA: of the whole part, mean over seeds (2); std (ddof 1) of" in notes
    )
    assert "last: mean ± std (ddof 1)" in notes
    assert "Seeds differ by the noise of training alone" in notes
    # a run that names no speakers: seeds, which alone are said
    for run in runs:
        run.metrics["metrics"]["test"]["speakers"] = None
    table = fill(file, runs, CLASSES)
    assert table.cells["ours", "UA"].unit == "seeds"
    assert not any("speakers:" in note for note in table.notes)


def test_a_speaker_without_the_class_leaves_seeds():
    """A recall that one of them does not have is no unit's value."""
    labels = ["ang", "sad", "sad", "sad"] * 5
    who = ["a", "b", "a", "b"] * 5
    column = Column("x", "recall_ang", TEST)
    runs = [done("ours", s, test=scored(labels, labels, who)) for s in (1, 2)]
    cell = only_cell(table_file(columns=[column], seeds=[1, 2]), runs)
    assert (cell.unit, cell.mean) == ("seeds", 100)


def test_pooled_folds_are_tested_over_folds():
    """Each averaged over the seeds, though the number is that of all."""
    data = {
        (row, seed, fold): made_up(40, f"{row}{seed}{fold}", skill=skill)
        for row, skill in (("base", 0.5), ("ours", 0.8))
        for seed in (1, 2)
        for fold in "abc"
    }
    runs = [
        done(row, seed, fold, scored(*found[:2]))
        for (row, seed, fold), found in data.items()
    ]
    file = table_file(
        ["base", "ours"],
        [Column("UA", "UA", TEST, folds="pooled")],
        seeds=[1, 2],
        fold_setting="fold",
        folds=["a", "b", "c"],
        stars={"*": ("base",)},
    )
    cell = fill(file, runs, CLASSES).cells["ours", "UA"]
    own = {
        row: [
            np.mean([100 * ua(*data[row, s, fold][:2]) for s in (1, 2)])
            for fold in "abc"
        ]
        for row in ("base", "ours")
    }
    assert cell.unit == "folds" and cell.values == pytest.approx(own["ours"])
    assert cell.p_values == pytest.approx(
        {"base": stats.ttest_rel(own["ours"], own["base"]).pvalue}
    )


# A mean over speakers


def test_a_mean_over_speakers_by_hand(tmp_path):
    """Of each run, then over the folds; not of the pooled utterances."""
    labels = ["ang", "ang", "sad", "sad", "ang", "sad"]
    predictions = ["ang", "sad", "sad", "sad", "sad", "sad"]
    who = ["a", "a", "a", "a", "b", "b"]
    column = Column("UA", "UA", TEST, speakers="mean")
    run = done("ours", 1, "x", scored(labels, predictions, who))
    assert value_of(run, column) == pytest.approx((0.75 + 0.5) / 2)
    pooled = Column("UA", "UA", TEST)
    assert value_of(run, pooled) == pytest.approx((1 / 3 + 1) / 2)
    other = done("ours", 1, "y", scored(["ang", "sad"], ["ang", "sad"], "ab"))
    file = table_file(
        columns=[column], seeds=[1], fold_setting="fold", folds=["x", "y"]
    )
    table = fill(file, [run, other], CLASSES)
    cell = table.cells["ours", "UA"]
    assert cell.values == pytest.approx([62.5, 100])
    said = "UA: the mean over the speakers of each run's part."
    assert said in table.notes
    # without folds each speaker is a unit, and the mean is theirs
    alone = done("ours", 1, None, run.metrics["metrics"]["test"])
    table = fill(table_file(columns=[column], seeds=[1]), [alone], CLASSES)
    assert table.notes[0].startswith("UA: a speaker's value is the mean over")
    cell = table.cells["ours", "UA"]
    assert (cell.mean, cell.values) == (62.5, [75, 50])
    low, high = stats.t.interval(0.95, 1, 62.5, stats.sem([75, 50]))
    assert cell.interval == pytest.approx((low, high))
    run.metrics["metrics"]["test"]["speakers"] = None
    with pytest.raises(ValueError, match="no UA of test by speaker"):
        value_of(run, column)
    joy = Column("x", "recall_joy", TEST, speakers="mean")
    with pytest.raises(ValueError, match="no recall_joy of test"):
        value_of(other, joy)
    fear = Column("x", "recall_hap", TEST, speakers="mean")
    with pytest.raises(ValueError, match="by speaker is not a finite"):
        value_of(other, fear)


ACC = "Acc: {metric: WA, split: test}"
REFUSED = [
    ("WA, split: test, speakers: all", "'speakers' is 'all': give pooled or"),
    ("valence_MSE, split: test, speakers: mean", "is not there by speaker"),
    ("WA, split: test, epochs: last, speakers: mean", "last epochs are not"),
    ("WA, split: test, epochs: best, speakers: mean", "is a mean already"),
]


@pytest.mark.parametrize("text, said", REFUSED)
def test_no_mean_over_speakers_of_what_is_not_there(text, said, tmp_path):
    """One sentence with the line."""
    assert ACC in TABLE
    path = write_stub(tmp_path, TABLE.replace(ACC, f"Acc: {{metric: {text}}}"))
    with pytest.raises(InputError, match=f"line 9: .*{said}"):
        read_table(path)


# Sign flips, Holm


@pytest.mark.parametrize("n", [2, 3, 5, 8, 12])
def test_sign_flips_are_scipys(n):
    """All of them, two-sided; equal differences are ties."""
    draw = np.random.default_rng(n)
    for differences in (draw.normal(0.5, 1, n), draw.integers(-2, 4, n) / 10):
        reference = stats.permutation_test(
            (differences,), np.sum, permutation_type="samples"
        )
        found = sign_flip_test(differences)
        assert found == pytest.approx(reference.pvalue)
    assert sign_flip_test(np.arange(1, n + 1)) == 2 / 2**n


def test_sign_flips_of_many_are_drawn():
    """Near the exact p, the same each time."""
    draw = np.random.default_rng(0)
    differences = draw.normal(0.4, 1, 21)
    found = sign_flip_test(differences)
    assert found == sign_flip_test(differences)
    sums = np.zeros(1)
    for one in differences:
        sums = np.concatenate([sums + one, sums - one])
    exact = (np.abs(sums) >= abs(differences.sum()) - 1e-9).mean()
    assert found == pytest.approx(exact, abs=0.005)
    assert sign_flip_test(np.ones(60)) == pytest.approx(1e-5)


def test_both_p_values_are_there_and_the_smallest_is_said():
    """Five folds can't have a sign-flip p below 0.0625."""
    shares = {"base": np.full(10, 0.5), "ours": np.linspace(0.58, 0.6, 10)}
    table = fill(ten_folds(), runs_of(shares, paired=True), CLASSES)
    cell = table.cells["ours", "UA"]
    assert cell.stars == "*" and cell.p_values["base"] < 1e-4
    assert cell.flips == {"base": 0.0625}
    (note,) = [note for note in table.notes if "sign-flip" in note]
    assert note.endswith("its smallest possible p is 0.062 of 5 folds.")
    assert "p-values are not corrected for the number of tests." in table.notes


def test_holm_by_hand():
    """0.01 x 4, 0.02 x 3, then never less; None is no test."""
    given = {"a": 0.02, "b": 0.6, "c": 0.01, "d": None, "e": 0.021}
    assert holm(given) == pytest.approx(
        {"a": 0.06, "b": 0.6, "c": 0.04, "d": None, "e": 0.06}
    )
    assert holm({"a": 0.7, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert holm({}) == {}


def test_holm_over_the_columns_of_a_table(tmp_path):
    """For each pair of rows by itself; the stars follow, the notes say so."""
    columns = [Column(name, name, TEST) for name in ("WA", "UA", "macro_F1")]
    draw = np.random.default_rng(5)
    runs, values = [], {}
    for row, gain in (("base", 0), ("even", 0), ("ours", 0.03)):
        for seed in range(1, 7):
            shares = 0.5 + gain + draw.normal(0, [0.01, 0.024, 0.06])
            own = dict(zip(("WA", "UA", "macro_F1"), shares))
            runs.append(done(row, seed, test=own))
            for name, share in own.items():
                values.setdefault((row, name), []).append(share)
    more = {"seeds": range(1, 7), "stars": {"*": ("base",), "+": ("even",)}}
    rows = ["base", "even", "ours"]
    plain = fill(table_file(rows, columns, **more), runs, CLASSES)
    file = table_file(rows, columns, correction="holm", **more)
    table = fill(file, runs, CLASSES)
    moved = 0
    for other in ("base", "even"):
        p = {
            name: stats.ttest_rel(
                values["ours", name], values[other, name]
            ).pvalue
            for name in ("WA", "UA", "macro_F1")
        }
        least, place = 0, 3
        for name in sorted(p, key=p.get):
            least = max(least, min(1, place * p[name]))
            place -= 1
            cell, old = table.cells["ours", name], plain.cells["ours", name]
            assert old.p_values[other] == pytest.approx(p[name])
            assert cell.p_values[other] == pytest.approx(least)
            assert cell.flips[other] >= old.flips[other]
            symbol = {"base": "*", "even": "+"}[other]
            assert (symbol in cell.stars) == (least < 0.05)
            moved += cell.stars != old.stars
    assert moved
    assert any("Holm" in note for note in table.notes)
    assert not any("Holm" in note for note in plain.notes)
    path = write_stub(tmp_path, TABLE + "correction: holm\n")
    assert read_table(path).correction == "holm"
    path = write_stub(tmp_path, TABLE + "correction: none\n")
    assert read_table(path).correction == "none"
    for word in ("bonferroni", "[holm]", "1"):
        path = write_stub(tmp_path, TABLE + f"correction: {word}\n")
        with pytest.raises(InputError, match="line 12: 'correction' is .*holm"):
            read_table(path)


def test_rows_of_other_units_are_not_tested():
    """One names its speakers, the other does not."""
    runs = [spoken("ours", seed, 0.7)[0] for seed in (1, 2)]
    runs += with_ua("base", [0.5, 0.6])
    file = table_file(["base", "ours"], seeds=[1, 2], stars={"*": ("base",)})
    table = fill(file, runs, CLASSES)
    assert table.cells["ours", "UA"].p_values == {"base": None}
    said = "there is no test of ours against base: its units are speakers, "
    assert f"{said}the other's seeds." in table.notes
    assert not any(re.match(r"\*: p <", note) for note in table.notes)
