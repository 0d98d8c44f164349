"""The files of a table: CSV, rows of one run, nothing half written."""

import csv
import html
import os

import pytest

from speechbrain_ser.table import html_page, html_pictures, markup, pages
from speechbrain_ser.table.layout import DONE, Cell, Column, Run
from tests.table.made_up import NASTY, Page, made_up, simple

# CSV


def read(path):
    """Reads a CSV file as dictionaries."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_csv(table, small_pictures, tmp_path):
    """One line for each cell, with what the other pages leave out."""
    pages.write_pages(table, tmp_path / "out")
    lines = read(tmp_path / "out" / "table.csv")
    assert [(line["row"], line["column"]) for line in lines] == list(
        table.cells
    )
    assert lines[0] == {
        **{"row": "baseline", "labels": "none", "column": "WA (%)"},
        **{"metric": "WA", "splits": "test", "epochs": "last"},
        **{"folds": "mean", "mean": "62.0", "std": "1.0"},
        **{"low": "59.515862", "high": "64.484138"},
        **{"speakers_low": "55.5", "speakers_high": "66.625"},
        **{"unit": "seeds", "runs": "3", "planned": "3", "stars": ""},
        **{"p_values": "", "sign_flip_p_values": ""},
        **{"paper": "61.20", "problems": ""},
    }
    assert lines[2]["splits"] == "train + test"
    assert lines[4]["folds"] == "pooled"
    assert lines[4]["p_values"] == "baseline="
    assert lines[6]["p_values"] == "baseline=1e-05;IPR=0.5"
    assert lines[6]["sign_flip_p_values"] == "baseline=0.00195312;IPR=0.75"
    assert lines[6]["stars"] == "*★"
    assert lines[6]["problems"] == "1 of 3 runs foreign; 1 of 3 runs failed"
    assert lines[9]["mean"] == lines[9]["std"] == lines[9]["low"] == ""


def test_runs_csv(table, small_pictures, tmp_path):
    """One line for each run, values as the columns show them."""
    pages.write_pages(table, tmp_path / "out")
    lines = read(tmp_path / "out" / "runs.csv")
    assert len(lines) == 12
    assert lines[1] == {
        **{"row": "baseline", "fold": "", "seed": "2", "status": "done"},
        **{"note": "", "folder": "../runs/ba2", "key": f"{1:064x}"},
        **{"WA (%)": "62.0", "UA (%)": "52.0", "n": "1234.0"},
    }
    assert lines[7]["status"] == "failed"
    assert lines[7]["note"] == "ran out of memory & died"
    assert lines[7]["UA (%)"] == ""


def test_a_done_run_may_lack_a_value(table, tmp_path):
    """What it lacks is empty, what it has is there."""
    del table.runs[1].metrics["test_mean_of_last_epochs"]
    line = pages.run_lines(table, str(tmp_path))[1]
    assert line["WA (%)"] is None
    assert line["UA (%)"] == 52.0


def test_headings_of_our_own_stay(tmp_path):
    """A column of words may be called as one of ours."""
    made = simple(["seed"])
    made.file.about = {"mean": {"one": "words"}}
    made.runs = [Run("one", None, 7, "key", str(tmp_path))]
    assert pages.cell_lines(made)[0]["mean"] == 70.0
    assert pages.cell_lines(made)[0]["mean (2)"] == "words"
    assert pages.run_lines(made, str(tmp_path))[0]["seed"] == 7


# Rows that read other parts of a run


def test_rows_of_one_run(small_pictures, tmp_path):
    """Each row has its lines, with its part's values; no figure of another."""
    made = simple(rows=["one", "two", "three"])
    made.file.columns["UA (%)"] = Column("UA (%)", "UA", ("test",))
    made.file.reads = {"two": {"test": "test_5"}}
    for row, more in (("one", ("two",)), ("three", ())):
        run = Run(row, None, 1, row * 3, str(tmp_path / row), DONE)
        run.more_rows = more
        run.metrics = {"metrics": {"test": {"UA": 0.5}}}
        run.metrics["metrics"]["test_5"] = {"UA": 0.25}
        made.runs.append(run)
        (tmp_path / row / "figures").mkdir(parents=True)
        (tmp_path / row / "figures" / "confusion.png").touch()
    lines = pages.run_lines(made, str(tmp_path))
    assert [(line["row"], line["key"], line["UA (%)"]) for line in lines] == [
        ("one", "oneoneone", 50),
        ("two", "oneoneone", 25),
        ("three", "three" * 3, 50),
    ]
    splits = {line["row"]: line["splits"] for line in pages.cell_lines(made)}
    assert splits == {**{"one": "test", "two": "test_5", "three": "test"}}
    runs = Page(html_page.to_html(made, str(tmp_path))).tables[-1][1:]
    assert [(run[0], run[3], run[-1]) for run in runs] == [
        ("one", "50.00", "folder, figure"),
        ("two", "25.00", "folder"),
        ("three", "50.00", "folder, figure"),
    ]


def test_a_cell_that_no_run_belongs_in(small_pictures, tmp_path):
    """A dash, and the count of runs is that of the others."""
    made = simple(["A", "B"])
    made.cells["one", "A"] = Cell([])
    lines = markup.to_markdown(made).splitlines()
    assert lines[2] == (
        "| row | A | 95 % interval | B | 95 % interval | runs |"
    )
    assert lines[4] == "| one | – | – | 70.00 ± 2.00 | [60.00, 80.00] | 2 |"
    # where columns have different counts, its own is a dash as well
    made.cells["two", "B"].runs = 1
    line = markup.to_markdown(made).splitlines()[4]
    assert line == "| one | – | – | – | 70.00 ± 2.00 | [60.00, 80.00] | 2 |"
    images = Page(html_page.to_html(made, str(tmp_path))).all("img")
    assert images[0]["alt"] == "Bars of A for each row: one –, two 70.00 ± 2.00"
    # a row of nothing else
    made.cells["one", "B"] = Cell([])
    made.cells["two", "B"].runs = 2
    line = markup.to_markdown(made).splitlines()[4]
    assert line == "| one | – | – | – | – | – |"


# Files


def test_files(table, tmp_path):
    """All pages are written, and the same again at the next time."""
    first, second = tmp_path / "out", tmp_path / "two"
    paths = pages.write_pages(table, first)
    assert [os.path.basename(path) for path in paths] == [
        *("table.md", "table.tex", "table.html", "table.csv", "runs.csv")
    ]
    assert sorted(os.listdir(first)) == sorted(map(os.path.basename, paths))
    pages.write_pages(made_up(str(tmp_path)), second)
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()
    text = (first / "table.html").read_text(encoding="utf-8")
    assert html.escape(NASTY) in text
    assert "<b>50" not in text


def test_a_failure_leaves_the_old_pages(
    table, small_pictures, tmp_path, monkeypatch
):
    """Nothing is written before the last picture is drawn."""

    def fail(*_):
        raise OSError("no space left")

    out = tmp_path / "out"
    pages.write_pages(table, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    table.file.title = "Another title"
    monkeypatch.setattr(html_pictures, "plot_confusion", fail)
    with pytest.raises(OSError):
        pages.write_pages(table, out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_half_a_file_is_never_seen(
    table, small_pictures, tmp_path, monkeypatch
):
    """A text that cannot be written leaves the old file whole."""
    out = tmp_path / "out"
    pages.write_pages(table, out)
    before = (out / "table.md").read_bytes()
    monkeypatch.setattr(pages, "to_markdown", lambda table: "new \ud800")
    with pytest.raises(UnicodeEncodeError):
        pages.write_pages(table, out)
    assert (out / "table.md").read_bytes() == before
    assert len(os.listdir(out)) == 5
