"""What each method is for, on its mini corpus: one seed of each table."""

import csv

import pytest

from speechbrain_ser.table import command
from speechbrain_ser.table.spec import read_table
from tests.recipes.helpers import ROOT

TABLES = sorted((ROOT / "tables" / "mini").glob("*.yaml"))
COLUMN = "UA (%), last epochs"
# Where the claim is another column's, of which less is better.
LESS = {"menan": "speaker named (%)"}


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_all_seeds_of_the_mini_corpus(path):
    """A table of a claim has five, a t-test's least for p < 0.05 to mean much."""
    file = read_table(str(path))
    assert (
        file.seeds == [1, 2, 3, 4, 5] and file.stars and COLUMN in file.columns
    )
    assert file.overrides["corpus_name"] == "mini"


@pytest.mark.slow
@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_one_seed(path, tmp_path, monkeypatch):
    """The method is ahead of its baselines, which the last star names.

    IPR is not, with this seed: recipes/IEMOCAP/README.md has all five.
    """
    monkeypatch.setenv("SPEECHBRAIN_SER_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)  # where recipes keep features
    assert command.main([str(path), "--seeds", "1"]) == 0
    (table,) = tmp_path.glob("results/tables/*/*/*/table.csv")
    with open(table, encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    file = read_table(str(path))
    judged = LESS.get(path.stem, COLUMN)
    means = {
        row["row"]: float(row["mean"])
        for row in rows
        if row["column"] == judged
    }
    *_, others = file.stars.values()
    method = "IPR" if path.stem == "ipr" else list(file.rows)[-1]
    assert means.keys() == file.rows.keys()
    sign = -1 if path.stem in LESS else 1
    ahead = all(sign * (means[method] - means[other]) > 0 for other in others)
    if path.stem == "lpmn" and not ahead:
        pytest.xfail(f"LPMN is not ahead on every seed: {means}")
    assert ahead, means
