"""What the pages say is what the table holds, whatever its names look like."""

import csv
import html
import itertools
import os
import re
from html.parser import HTMLParser

import pytest

from speechbrain_ser.table import (
    entries,
    html_page,
    html_pictures,
    markup,
    pages,
)
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


def made_up(folder, rows=None):
    """Makes up a table with all that can go well or wrong.

    Of 3 seeds, the nasty row's first is foreign, its second failed.
    """
    columns = {
        "WA (%)": Column("WA (%)", "WA", ("test",), "last"),
        "UA (%)": Column("UA (%)", "UA", ("test",), folds="pooled"),
        "n": Column("n", "n", ("train", "test")),
    }
    file = TableFile(
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
        ),
        (NASTY, "UA (%)"): Cell([53.0], 53.0, None, None, None, "seeds", 1, 3),
        (NASTY, "n"): Cell([1234.0], 1234.0, runs=1, planned=3, problems=lost),
    }
    cells[NASTY, "UA (%)"].problems = lost
    for row in ("baseline", "IPR"):
        cells[row, "n"].runs = cells[row, "n"].planned = 3
    for column in columns:
        cells["never run", column] = Cell([], planned=3, problems=none)
    return Table(
        file,
        runs,
        cells,
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


@pytest.fixture
def table(tmp_path):
    """A made-up table whose first run has a folder with a figure."""
    made = made_up(str(tmp_path))
    figures = tmp_path / "runs" / "ba1" / "figures"
    figures.mkdir(parents=True)
    (figures / "confusion.png").write_bytes(b"")
    return made


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


# Text


def test_text():
    """One aligned line for each row, its problem behind the number."""
    made = simple()
    made.file.about = {"kind": {"one": "short", "two": "a longer one"}}
    made.cells["two", "UA (%)"] = Cell(
        [70.0], 70.0, runs=1, planned=2, problems=["1 of 2 runs failed"]
    )
    made.notes = ["Said  below."]
    made.file.source = "Someone, 2026"
    assert markup.to_text(made).splitlines() == [
        "Simple",
        "",
        "row  kind          UA (%)                                   "
        "95 % interval   runs",
        "---  ------------  ---------------------------------------  "
        "--------------  ------",
        "one  short         70.00 ± 2.00                             "
        "[60.00, 80.00]  2",
        "two  a longer one  70.00 (1 of 2 runs; 1 of 2 runs failed)  "
        "–               1 of 2",
        "",
        "Said below.",
        "Paper's numbers: Someone, 2026",
    ]


def test_wide_text_has_problems_below(table):
    """No line is too wide; each block starts with the rows again."""
    text = markup.to_text(table)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 120
    assert [line.split()[0] for line in lines if " – [b]" in line] == [
        "never"
    ] * 2
    assert sum(line.startswith(NASTY + "  ") for line in lines) == 2
    assert f"[a] {LOST}" in lines
    assert "[b] 3 of 3 runs missing" in lines
    assert re.search(
        r"74\.08 ± 1\.01 \*  \[71\.57, 76\.59\]  73\.8 ± 2\.0", text
    )


def test_many_columns_stand_in_blocks():
    """Each heading is there once, and as few blocks as fit."""
    names = [f"column {index}" for index in range(7)]
    text = markup.to_text(simple(names, ["row"]))
    heads = [line for line in text.splitlines() if line.startswith("row  c")]
    assert re.findall(r"column \d", " ".join(heads)) == names
    assert max(map(len, text.splitlines())) <= 120
    assert len(heads) == 3  # 3 + 31 + 31 + 31 letters, no more fit


def test_a_row_longer_than_the_screen_is_not_cut():
    """There is nothing to be done about it but to show it."""
    name = "long " * 30
    assert name.strip() in markup.to_text(simple(rows=[name]))


@pytest.mark.parametrize(
    "metric, mean, std, expected",
    [
        ("UA", 7.0, 0.5, "7.00 ± 0.50"),
        ("recall_ang", 100.0, None, "100.00"),
        ("n", 1234.0, 0.0, "1234"),
        ("n", 1234.0, None, "1234"),
        ("n", 1234.5, 0.70711, "1234 ± 1"),
        ("eer", 0.0123456, 0.00067, "0.01235 ± 0.00067"),
        ("eer", 0.0, 0.0, "0.00 ± 0.00"),
        ("seconds", 12345.6, 78.9, "12346 ± 79"),
        ("gain", -1.5, 0.25, "-1.500 ± 0.250"),
        ("UA", None, None, "–"),
    ],
)
def test_number(metric, mean, std, expected):
    """Shares have two decimals, counts none, others four digits."""
    column = Column("a", metric, ("test",))
    assert entries.number(column, Cell([], mean, std)) == expected


def test_runs_stand_once_if_all_columns_agree():
    """As soon as one cell has other runs, each column has its own."""
    made = simple(["A", "B"])
    once = markup.to_markdown(made).splitlines()[2]
    assert once == "| row | A | 95 % interval | B | 95 % interval | runs |"
    made.cells["two", "B"].runs = 1
    lines = markup.to_markdown(made).splitlines()
    assert lines[2] == (
        "| row | A | 95 % interval | runs | B | 95 % interval | runs |"
    )
    assert lines[5] == (
        "| two | 70.00 ± 2.00 | [60.00, 80.00] | 2 "
        "| 70.00 ± 2.00 | [60.00, 80.00] | 1 of 2 |"
    )


def test_no_interval_and_no_paper_make_no_column():
    """One seed has no interval."""
    made = simple(std=None, interval=None)
    assert "| row | UA (%) | runs |" in markup.to_markdown(made).splitlines()


# Markdown


def markdown_cells(line):
    """Splits a line of a Markdown table where GitHub would."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_markdown(table):
    """Every line has as many cells; letters with a meaning are escaped."""
    lines = markup.to_markdown(table).splitlines()
    assert lines[0] == r"# Table 3: pseudo-labels \& \<more>"
    rows = [markdown_cells(line) for line in lines if line.startswith("| ")]
    assert {len(row) for row in rows} == {9}
    head, rule, baseline, ipr, nasty, never = rows
    assert head == [
        *("row", "labels", "WA (%)", "95 % interval", "WA (%), paper"),
        *("UA (%)", "95 % interval", "n", "runs"),
    ]
    assert set(rule) == {"---"}
    assert ipr == [
        *("IPR", r"from \<prototypes>", r"74.08 ± 1.01 \*"),
        *("[71.57, 76.59]", "73.8 ± 2.0"),
        *("52.00 ± 1.00", "[49.52, 54.48]", "1234", "3"),
    ]
    assert re.sub(r"\\([^a-z0-9\s])", r"\1", nasty[0]) == NASTY
    assert re.findall(r"(?<!\\)[*<`$|&]", nasty[0]) == []
    assert nasty[1:] == [
        *("", rf"63.00 \*★ ({LOST})", "–", "–"),
        *(f"53.00 ({LOST})", "–", f"1234 ({LOST})", "1 of 3"),
    ]
    assert never[2:5] == ["– (3 of 3 runs missing)", "–", "–"]
    assert lines[-3:] == [
        r"- \* better than baseline (paired t-test over seeds, p \< 0.05).",
        r"- \+ is no list, \_this\_ is no emphasis \& \<that> no tag.",
        "- Paper's numbers: Someone et al., 2026, Table 3, "
        "https://example.org/a_b",
    ]


def test_the_source_stands_below_once():
    """Not again where a note names it already."""
    made = simple()
    made.file.source = "Someone, 2026"
    made.notes = ["Paper: Someone, 2026; measured by its authors."]
    assert markup.to_markdown(made).count("Someone, 2026") == 1
    made.notes = ["Nothing of it."]
    assert markup.to_markdown(made).count("Someone, 2026") == 1


@pytest.mark.parametrize("note", ["1. first", "2) second", "- minus", "# head"])
def test_notes_stay_plain(note):
    """A note's first letters start no list and no heading of their own."""
    made = simple()
    made.notes = [note]
    last = markup.to_markdown(made).splitlines()[-1]
    assert re.fullmatch(r"- \d*\\[.)#-] \w+", last)
    assert last.replace("\\", "") == f"- {note}"


# LaTeX


def latex_width(line):
    """Counts the columns that a line of a tabular takes."""
    spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", line)]
    return len(re.findall(r"(?<!\\)&", line)) + 1 + sum(spans) - len(spans)


def test_latex(table):
    """All lines are as wide as the tabular; braces and formulas are closed."""
    text = markup.to_latex(table)
    (columns,) = re.findall(r"\\begin\{tabular\}\{(l+)\}", text)
    lines = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert (
        [latex_width(line) for line in lines] == [len(columns)] * 6 == [9] * 6
    )
    assert text.startswith("% \\usepackage{booktabs, amssymb}\n")
    assert r"\cmidrule(lr){3-5} \cmidrule(lr){6-7}" in text
    assert r" & & \multicolumn{3}{c}{WA (\%)}" in text.replace("  ", " ")
    assert r"\caption{Table 3: pseudo-labels \& $<$more$>$}" in text
    assert r"\label{tab:my-table-3}" in text
    assert r"74.08 $\pm$ 1.01 * & [71.57, 76.59] & 73.8 $\pm$ 2.0" in text
    assert (
        r"R\&D $<$b$>$50 \%$<$/b$>$ of \$x\$ and \$y\$\_\{1\}"
        r"\textasciitilde{}\textasciicircum{}\textbackslash{} \#2 $|$ *über* →"
        r" &  & 63.00 *$\bigstar$\textsuperscript{a} & -- & -- & "
        r"53.00\textsuperscript{a} & -- & 1234\textsuperscript{a} & 1 of 3 \\"
    ) in lines
    assert rf"\textsuperscript{{a}} {LOST}.\par" in text
    assert r"example.org/a\_b\par" in text
    body = text.split("\n", 1)[1]
    bare = re.sub(r"\\[\\&%_#${}]", "", body)
    assert bare.count("{") == bare.count("}")
    assert bare.count("$") % 2 == 0
    assert not set("%#_^~") & set(bare)


def test_latex_options_are_held_off():
    r"""After \\ a bracket or a star would be taken for an option."""
    made = simple(rows=["[a]", "*b"])
    lines = markup.to_latex(made).splitlines()
    assert [line[:5] for line in lines if "70.00" in line] == ["{}[a]", "{}*b "]
    assert lines[0] == r"% \usepackage{booktabs}"


def test_marks_go_on_after_z():
    """Each problem has a letter of its own."""
    assert [entries.letter(i) for i in (0, 25, 26, 52)] == [
        "a",
        "z",
        "a2",
        "a3",
    ]


# CSV


def read(path):
    """Reads a CSV file as dictionaries."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_csv(table, tmp_path):
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
        **{"p_values": "", "paper": "61.20", "problems": ""},
    }
    assert lines[2]["splits"] == "train + test"
    assert lines[4]["folds"] == "pooled"
    assert lines[4]["p_values"] == "baseline="
    assert lines[6]["p_values"] == "baseline=1e-05;IPR=0.5"
    assert lines[6]["stars"] == "*★"
    assert lines[6]["problems"] == "1 of 3 runs foreign; 1 of 3 runs failed"
    assert lines[9]["mean"] == lines[9]["std"] == lines[9]["low"] == ""


def test_runs_csv(table, tmp_path):
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


# HTML


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


def test_html_tables(table, tmp_path):
    """All numbers stand in the page, with intervals over speakers."""
    page = Page(html_page.to_html(table, str(tmp_path / "tables")))
    assert page.open == []
    main, tests, runs = page.tables
    assert main[0] == ["row", "labels", "WA (%)", "UA (%)", "n", "runs"]
    assert main[1] == [
        *("mean ± std", "95 % interval", "95 % over speakers", "paper"),
        *("mean ± std", "95 % interval"),
    ]
    assert main[2:] == [
        [
            *("baseline", "none", "62.00 ± 1.00", "[59.52, 64.48]"),
            *("[55.50, 66.62]", "61.20", "52.00 ± 1.00", "[49.52, 54.48]"),
            *("1234", "3"),
        ],
        [
            *("IPR", "from <prototypes>", "74.08 ± 1.01 *", "[71.57, 76.59]"),
            *("–", "73.8 ± 2.0", "52.00 ± 1.00", "[49.52, 54.48]"),
            *("1234", "3"),
        ],
        [
            *(NASTY, "", f"63.00 *★|{LOST}", "–", "–", "–"),
            *(f"53.00|{LOST}", "–", f"1234|{LOST}", "1 of 3"),
        ],
        [
            *("never run", "", "–|3 of 3 runs missing", "–", "–", "–"),
            *("–|3 of 3 runs missing", "–", "–|3 of 3 runs missing", "0 of 3"),
        ],
    ]
    assert tests == [
        ["row", "against", "p, WA (%)", "p, UA (%)"],
        ["IPR", "baseline", "0.012", "–"],
        [NASTY, "baseline", "< 0.001", "–"],
        [NASTY, "IPR", "0.500", "–"],
    ]
    assert runs[0] == [
        *("row", "seed", "status", "WA (%)", "UA (%)", "n"),
        *("epoch", "time", "device", "files"),
    ]
    assert runs[1] == [
        *("baseline", "1", "|done", "61.00", "51.00", "1234"),
        *("27", "1:02:05", "cpu", "folder, figure"),
    ]
    assert runs[8] == [
        *(NASTY, "2", "|failed|ran out of memory & died"),
        *["–"] * 7,
    ]
    assert [run[2] for run in runs[-3:]] == ["|missing", "|queued", "|running"]


def test_html_says_where_it_comes_from(table, tmp_path):
    """Title, source, notes and settings; several splits are counted."""
    table.runs[0].metrics["split_sha256"] = "f" * 64
    page = Page(html_page.to_html(table, str(tmp_path)))
    texts = [text for text in page.texts if text.strip()]
    assert texts[:3] == [
        table.file.title,
        table.file.title,
        f"Paper's numbers: {table.file.source}",
    ]
    assert set(table.notes) <= set(texts)
    terms = texts[texts.index("Settings") + 1 :]
    assert dict(zip(terms[::2], terms[1::2])) == {
        "recipe": "train.py",
        "settings file": "ipr.yaml",
        "seeds": "1, 2, 3",
        "set in all rows": "number_of_epochs: 20",
        "set in baseline": "system: baseline",
        "set in IPR": "system: ipr",
        f"set in {NASTY}": "system: ipr, pseudo_label_filter: agreed",
        "set in never run": "system: supervised",
        "corpus": "mini",
        "protocol": "ambiguity",
        "split, SHA-256": "ffffffffffff (1 runs); 0123456789ab (6 runs)",
        "code, SHA-256": "abcdef0123ab",
        "device": "cpu",
        "versions": "python: 3.10.1, speechbrain_ser: 0.1.0",
    }


def test_html_needs_nothing_but_itself(table, tmp_path):
    """Pictures lie in the page; there is no script and no other file."""
    text = html_page.to_html(table, str(tmp_path / "tables"))
    page = Page(text)
    assert text.startswith('<!doctype html>\n<html lang="en">')
    assert not {"script", "iframe", "object"} & {
        tag for tag, _ in page.elements
    }
    images = page.all("img")
    assert len(images) == 2 + 3
    for image in images:
        assert image["src"].startswith("data:image/png;base64,iVBORw0KGgo")
        assert int(image["width"]) >= 450
        assert image["alt"]
    assert images[0]["alt"] == (
        "Bars of WA (%) for each row: baseline 62.00 ± 1.00, "
        f"IPR 74.08 ± 1.01 *, {NASTY} 63.00 *★ (1 of 3 runs), "
        "never run no result"
    )
    assert page.all("link") == [{"rel": "icon", "href": "data:,"}]
    assert [link["href"] for link in page.all("a")] == [
        *("../runs/ba1/", "../runs/ba1/figures/confusion.png")
    ]
    assert "url(" not in text
    assert "@import" not in text
    assert str(tmp_path) not in text


def test_links_are_quoted(table, tmp_path):
    """A folder's name may have any letter in it."""
    table.runs[0].folder = str(tmp_path / "runs" / 'a "#?&% ü')
    os.makedirs(table.runs[0].folder)
    page = Page(html_page.to_html(table, str(tmp_path)))
    assert page.all("a") == [{"href": "runs/a%20%22%23%3F%26%25%20%C3%BC/"}]


def test_folds_are_shown(tmp_path):
    """Runs have a fold if the table has folds."""
    made = simple()
    made.file.fold_setting, made.file.folds = "held_out_session", [4, 5]
    made.runs = [Run("one", fold, 1, "key", str(tmp_path)) for fold in (4, 5)]
    page = Page(html_page.to_html(made, str(tmp_path)))
    runs = page.tables[-1]
    assert runs[0][:3] == ["row", "fold", "seed"]
    assert [run[1] for run in runs[1:]] == ["4", "5"]
    assert "held_out_session: 4, 5" in page.texts


def test_bars_get_the_numbers(table, tmp_path, monkeypatch):
    """Each picture shows the column's cells; counts have none."""
    drawn = []
    monkeypatch.setattr(
        html_pictures,
        "picture",
        lambda draw, *words: drawn.append(draw("p")) or "",
    )
    monkeypatch.setattr(html_pictures, "plot_bars", lambda *given: given)
    html_pictures.bar_pictures(table)
    wa, ua = drawn
    assert [bar["mean"] for bar in wa[1]] == [62.0, 74.083333, 63.0, None]
    assert [bar["paper"] for bar in wa[1]] == [61.2, 73.8, None, None]
    assert wa[1][1]["interval"] == (71.573436, 76.59323)
    assert wa[1][1]["values"] == [73.0, 74.25, 75.0]
    assert wa[2:] == ("WA (%)", "WA (%)", "seed", 100)
    assert ua[2] == "UA (%)"


@pytest.mark.parametrize(
    "text, expected",
    [("73.8*", 73.8), ("−1.5", -1.5), (".5", 0.5), ("+2", 2.0), ("x", None)],
)
def test_leading_number(text, expected):
    """The paper may have put more behind its number."""
    assert html_pictures.leading_number(text) == expected


# Rows that read other parts of a run


def test_rows_of_one_run(tmp_path):
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


def test_a_cell_that_no_run_belongs_in(tmp_path):
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


def test_a_failure_leaves_the_old_pages(table, tmp_path, monkeypatch):
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


def test_half_a_file_is_never_seen(table, tmp_path, monkeypatch):
    """A text that cannot be written leaves the old file whole."""
    out = tmp_path / "out"
    pages.write_pages(table, out)
    before = (out / "table.md").read_bytes()
    monkeypatch.setattr(pages, "to_markdown", lambda table: "new \ud800")
    with pytest.raises(UnicodeEncodeError):
        pages.write_pages(table, out)
    assert (out / "table.md").read_bytes() == before
    assert len(os.listdir(out)) == 5
