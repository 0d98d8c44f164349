"""Columns of what a probe for speakers found, and of a recipe's own shares."""

import re

import pytest

from speechbrain_ser.table.cells import fill
from speechbrain_ser.table.command import main
from speechbrain_ser.table.layout import Column
from speechbrain_ser.table.spec import read_table
from speechbrain_ser.table.values import value_of
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import write_json
from tests.table.runs import CLASSES, absent, done, table_file
from tests.table.stub import HPARAMS, TABLE, write_stub
from tests.table.test_grid import planned

TRAIN = ("train",)
LEFT = Column("left", "leakage", TRAIN, better="lower")
PROBED = HPARAMS + "speaker_probe: True\n"
OFF = HPARAMS + "speaker_probe: False\n"
LEAKY = TABLE.replace(
    "columns:\n",
    "columns:\n  left:\n    metric: leakage\n    split: train\n"
    "    better: lower\n",
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for the stub's table."""
    monkeypatch.setenv("STUB_LEDGER", str(tmp_path / "ledger"))
    return tmp_path


def probed(row, seed, accuracy, fold=None, **more):
    """A run that is done, with the probe's numbers."""
    found = {"accuracy": accuracy, "nonlinear_accuracy": accuracy + 0.25}
    found |= {"UA": 0.9, "chance": 0.125, "speakers": 8}
    run = done(row, seed, fold, {"UA": 0.6}, leakage=found, **more)
    # which would do for an interval over speakers of another metric
    by_speaker = dict.fromkeys("st", [[1, 1], [0, 2]])
    run.metrics["metrics"]["train"] = {"UA": 0.75, "speakers": by_speaker}
    return run


# The file


def test_the_file_is_read_and_planned(folder):
    """`train` is what trained, whatever the recipe calls its parts."""
    path = write_stub(folder, LEAKY, PROBED)
    assert read_table(path).columns["left"] == LEFT
    assert len(planned(folder)) == 6
    with open(folder / "stub_recipe.py", "a", encoding="utf-8") as script:
        script.write('\n\nPARTS["target"] = PARTS.pop("train")\n')
    assert len(planned(folder)) == 6


# What is replaced in the file, by what, the line and words of the error.
REFUSED = [
    (
        "split: train",
        "split: test",
        11,
        "of the utterances that train: w",
    ),
    ("split: train", "split: [train]", 11, "leakage is of one split"),
    ("better: lower", "minus: test", 12, "leakage has no difference"),
    ("better: lower", "epochs: last", 12, "last epochs is there for WA, UA"),
    ("metric: leakage", "metric: leak", 10, "no metric leak: .*, leakage, "),
]


@pytest.mark.parametrize("old, new, line, words", REFUSED)
def test_bad_columns_are_refused_with_their_line(old, new, line, words, folder):
    """One sentence, before anything runs."""
    assert LEAKY.count(old) == 1
    write_stub(folder, LEAKY.replace(old, new), PROBED)
    with pytest.raises(InputError) as refused:
        planned(folder)
    start = f"{folder / 'stub_table.yaml'}, line {line}: "
    assert str(refused.value).startswith(start), refused.value
    assert re.search(words, str(refused.value)), refused.value


def test_a_table_of_leakage_needs_the_probe(folder):
    """Switched on, in all rows."""
    for hparams in (OFF, HPARAMS):
        write_stub(folder, LEAKY, hparams)
        with pytest.raises(
            InputError, match="line 10: in row weak no probe lo"
        ):
            planned(folder)
    write_stub(folder, LEAKY, OFF)
    assert len(planned(folder, "--speaker_probe", "True")) == 6
    rows = LEAKY.replace(
        "{system: weak}", "{system: weak, speaker_probe: True}"
    )
    write_stub(folder, rows, OFF)
    with pytest.raises(InputError, match="in row strong no probe looks"):
        planned(folder)


# The numbers


def test_the_probes_numbers_are_read():
    """In per cent, over folds as any other."""
    columns = [
        LEFT,
        Column("more", "leakage_nonlinear", TRAIN),
        Column("chance", "leakage_chance", TRAIN),
    ]
    runs = [probed("ours", 1, 0.5, "a"), probed("ours", 1, 0.25, "b")]
    file = table_file(
        columns=columns, seeds=[1], fold_setting="fold", folds=["a", "b"]
    )
    table = fill(file, runs, CLASSES)
    cells = [table.cells["ours", column.name] for column in columns]
    assert [cell.values for cell in cells] == [
        [50, 25],
        [75, 50],
        [12.5, 12.5],
    ]
    assert cells[0].std == pytest.approx(17.677670)
    assert [cell.speakers for cell in cells] == [None] * 3
    (note,) = [note for note in table.notes if "fresh classifier" in note]
    assert note.startswith("left, more, chance: of the utterances that train,")
    assert value_of(runs[0], LEFT) == 0.5
    runs = [probed("ours", seed, 0.5) for seed in (1, 2, 3)]
    cells = fill(table_file(columns=columns), runs, CLASSES).cells
    assert [(c.mean, c.speakers) for c in cells.values()] == [
        (50, None),
        (75, None),
        (12.5, None),
    ]


def test_what_lacks_the_probe_is_said():
    """A run is the same with and without it; some speakers can't be probed."""
    runs = [probed("ours", 1, 0.5), done("ours", 2), done("ours", 3)]
    runs[2].metrics["leakage"] = None
    runs.append(absent("ours", 4, "missing"))
    file = table_file(columns=[LEFT], seeds=[1, 2, 3, 4])
    cell = fill(file, runs, CLASSES).cells["ours", "left"]
    assert cell.values == [50]
    assert cell.problems == [
        "1 of 4 runs missing",
        "1 of 4 runs without a value: made without --speaker_probe True "
        "(delete its metrics.json to have it made again)",
        "1 of 4 runs without a value: no two speakers could be probed",
    ]
    runs[0].metrics["leakage"] = {"UA": 0.5}
    cell = fill(file, runs[:1], CLASSES).cells["ours", "left"]
    assert cell.problems[-1] == "1 of 1 runs without a value: no leakage"


def test_less_is_better():
    """The star goes to who forgets more; on other speech there is none."""
    runs = [
        probed(row, seed, share)
        for row, shares in (
            ("base", [0.5, 0.52, 0.51]),
            ("ours", [0.2, 0.21, 0.19]),
        )
        for seed, share in enumerate(shares, 1)
    ]
    file = table_file(["base", "ours"], [LEFT], stars={"*": ("base",)})
    cells = fill(file, runs, CLASSES).cells
    assert cells["ours", "left"].stars == "*"
    # chance is no result
    chance = Column("chance", "leakage_chance", TRAIN)
    more = table_file(["base", "ours"], [LEFT, chance], stars=file.stars)
    table = fill(more, runs, CLASSES)
    assert table.cells["ours", "left"].stars == "*"
    assert table.cells["ours", "chance"].p_values == {}
    assert "no test" not in " ".join(table.notes)
    for run in runs[3:]:
        run.metrics["parts_sha256"] = {"train": "other"}
    cells = fill(file, runs, CLASSES).cells
    assert cells["ours", "left"].p_values == {"base": None}


def test_it_is_not_pooled():
    """There is no matrix."""
    column = Column("left", "leakage", TRAIN, folds="pooled")
    file = table_file(
        columns=[column], seeds=[1], fold_setting="fold", folds=["a", "b"]
    )
    runs = [probed("ours", 1, 0.5, "a"), probed("ours", 1, 0.25, "b")]
    cell = fill(file, runs, CLASSES).cells["ours", "left"]
    assert cell.problems == ["leakage cannot be pooled over folds"]


# A recipe's own shares


def test_a_recipes_own_shares_are_per_cent(folder, capsys):
    """Those in its METRICS are not; no other name is known."""
    table = TABLE.replace("metric: WA", "metric: hits").replace(
        "test}",
        "test}\n  misses: {metric: misses, split: test}",
    )
    path = write_stub(folder, table.replace("seeds: [1, 2, 3]", "seeds: [1]"))
    script = folder / "stub_recipe.py"
    text = script.read_text()
    old, new = 'METRICS = ("val', 'METRICS, SHARES = ("misses",), ("hits",)  #'
    assert old in text
    script.write_text(text.replace(old, new))
    for job in planned(folder):
        found = {"test": {"misses": 0.5, "hits": 0.3135}}
        metrics = job.plan.facts() | {"metrics": found}
        write_json(f"{job.run.folder}/metrics.json", metrics)
    assert main([str(path), "--results_folder", f"{folder}/results"]) == 0
    said = capsys.readouterr().out
    for row in ("weak  ", "strong"):
        assert f"{row}  31.35  0.5000  1\n" in said
    script.write_text(text)
    with pytest.raises(InputError, match="no metric hits: give one of WA"):
        planned(folder)
