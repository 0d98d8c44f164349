"""Text, Markdown and LaTeX say what the table holds, whatever its names."""

import re

import pytest

from speechbrain_ser.table import entries, markup
from speechbrain_ser.table.layout import Cell, Column
from tests.table.made_up import LOST, NASTY, simple

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
