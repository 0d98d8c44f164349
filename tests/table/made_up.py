"""Tables with all that can go well or wrong, and a reader of pages."""

import itertools
import os
from html.parser import HTMLParser

from speechbrain_ser.table.layout import (
    DONE,
    FAILED,
    FOREIGN,
    MISSING,
    QUEUED,
    RUNNING,
    Cell,
    Column,
    Run,
    Table,
    TableFile,
)

NASTY = "R&D <b>50 %</b> of $x$ and $y$_{1}~^\\ #2 | *über* →"
ROWS = {
    "baseline": {"system": "baseline"},
    "IPR": {"system": "ipr"},
    NASTY: {"system": "ipr", "pseudo_label_filter": "agreed"},
    "never run": {"system": "supervised"},
}
SHA = "0123456789abcdef" * 4


def metrics(share, last, seed):
    """Makes up what a run's metrics.json says."""
    confusion = [[8 + seed, 2], [1, 9 - seed]]
    return {
        "protocol": "ambiguity",
        "corpus": "mini",
        "split_sha256": SHA,
        "sizes": {"train": 1000, "test": 234},
        "code": "abcdef0123" * 4,
        "device": "cpu",
        "wall_seconds": 3725.4,
        "versions": {"python": "3.10.1", "speechbrain_ser": "0.1.0"},
        "metrics": {
            "test": {
                "UA": share,
                "recall": {"ang": share / 2},
                "confusion": confusion,
            }
        },
        "test_mean_of_last_epochs": {"WA": {"mean": last}},
        "selected_epoch": 27,
    }


def table_file(folder):
    """Makes up the file of a table of pseudo-labels."""
    columns = {
        "WA (%)": Column("WA (%)", "WA", ("test",), "last"),
        "UA (%)": Column("UA (%)", "UA", ("test",), folds="pooled"),
        "n": Column("n", "n", ("train", "test")),
    }
    return TableFile(
        os.path.join(folder, "my_table 3.yaml"),
        "Table 3: pseudo-labels & <more>",
        os.path.join(folder, "recipes", "train.py"),
        os.path.join(folder, "recipes", "hparams", "ipr.yaml"),
        ROWS,
        columns,
        [1, 2, 3],
        overrides={"number_of_epochs": 20},
        about={"labels": {"baseline": "none", "IPR": "from <prototypes>"}},
        source="Someone et al., 2026, Table 3, https://example.org/a_b",
        paper={"WA (%)": {"baseline": "61.20", "IPR": "73.8 ± 2.0"}},
        stars={"*": ("baseline",), "★": ("baseline", "IPR")},
    )


def runs_of(file, folder):
    """Makes up runs of every status; those that are done have metrics."""
    runs = []
    for row, seed in itertools.product(ROWS, file.seeds):
        run = Run(
            row,
            None,
            seed,
            f"{len(runs):064x}",
            f"{folder}/runs/{row[:2]}{seed}",
        )
        runs.append(run)
        if row in ("baseline", "IPR") or (row == NASTY and seed == 3):
            run.status = DONE
            run.metrics = metrics(0.5 + seed / 100, 0.6 + seed / 100, seed)
        elif row == NASTY:
            run.status = (FOREIGN, FAILED)[seed - 1]
            run.note = ("other <protocol>", "ran out of memory & died")[
                seed - 1
            ]
        else:
            run.status = (MISSING, QUEUED, RUNNING)[seed - 1]
    return runs


def cells_of(columns):
    """Makes up the cells of these runs, some without a number."""
    lost = ["1 of 3 runs foreign", "1 of 3 runs failed"]
    none = ["3 of 3 runs missing"]
    cells = {
        ("baseline", "WA (%)"): Cell(
            [61.0, 62.0, 63.0],
            *(62.0, 1.0, (59.515862, 64.484138)),
            speakers=(55.5, 66.625),
            **{"runs": 3, "planned": 3, "paper": "61.20"},
        ),
        ("baseline", "UA (%)"): Cell(
            [51.0, 52.0, 53.0],
            *(52.0, 1.0, (49.515862, 54.484138)),
            **{"runs": 3, "planned": 3},
        ),
        ("baseline", "n"): Cell([1234.0] * 3, 1234.0, 0.0, (1234.0, 1234.0)),
        ("IPR", "WA (%)"): Cell(
            [73.0, 74.25, 75.0],
            *(74.083333, 1.010363, (71.573436, 76.59323)),
            **{"runs": 3, "planned": 3, "paper": "73.8 ± 2.0"},
            stars="*",
            p_values={"baseline": 0.0123456789},
            flips={"baseline": 0.25},
        ),
        ("IPR", "UA (%)"): Cell(
            [51.0, 52.0, 53.0],
            *(52.0, 1.0, (49.515862, 54.484138)),
            **{"runs": 3, "planned": 3},
            p_values={"baseline": None},
        ),
        ("IPR", "n"): Cell([1234.0] * 3, 1234.0, 0.0, (1234.0, 1234.0)),
        (NASTY, "WA (%)"): Cell(
            [63.0],
            63.0,
            runs=1,
            planned=3,
            problems=lost,
            stars="*★",
            p_values={"baseline": 0.00001, "IPR": 0.5},
            flips={"baseline": 0.001953125, "IPR": 0.75},
        ),
        (NASTY, "UA (%)"): Cell([53.0], 53.0, None, None, None, "seeds", 1, 3),
        (NASTY, "n"): Cell([1234.0], 1234.0, runs=1, planned=3, problems=lost),
    }
    cells[NASTY, "UA (%)"].problems = lost
    for row in ("baseline", "IPR"):
        cells[row, "n"].runs = cells[row, "n"].planned = 3
    for column in columns:
        cells["never run", column] = Cell([], planned=3, problems=none)
    return cells


def made_up(folder, rows=None):
    """Makes up a table with all that can go well or wrong.

    Of 3 seeds, the nasty row's first is foreign, its second failed.
    """
    file = table_file(folder)
    return Table(
        file,
        runs_of(file, folder),
        cells_of(file.columns),
        {
            "baseline": [[30, 6], [3, 21]],
            "IPR": [[30, 6], [3, 21]],
            NASTY: [[11, 2], [1, 6]],
            "never run": None,
        },
        ["ang", "sad"],
        [
            "* better than baseline (paired t-test over seeds, p < 0.05).",
            "+ is no list, _this_ is no emphasis & <that> no tag.",
        ],
    )


def simple(columns=("UA (%)",), rows=("one", "two"), **changes):
    """Makes up a whole table of UAs: 70 ± 2 in every cell."""
    file = TableFile(
        *("simple.yaml", "Simple", "train.py", "hparams.yaml"),
        dict.fromkeys(rows, {}),
        {name: Column(name, "UA", ("test",)) for name in columns},
        [1, 2],
    )
    cells = {
        place: Cell([68.0, 72.0], 70.0, 2.0, (60.0, 80.0), runs=2, planned=2)
        for place in itertools.product(rows, columns)
    }
    for name, value in changes.items():
        for cell in cells.values():
            setattr(cell, name, value)
    return Table(file, [], cells, {}, [], [])


LOST = "1 of 3 runs; 1 of 3 runs foreign, 1 of 3 runs failed"


class Page(HTMLParser):
    """Collects a page's elements, tables and links; all tags are closed."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.tables, self.texts = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)
        if "td" in self.open or "th" in self.open:
            self.tables[-1][-1][-1] += (
                "|" if "span" in self.open else ""
            ) + data

    def all(self, tag):
        """Gives the attributes of all elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]
