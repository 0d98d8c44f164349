"""A table as aligned text, as Markdown and as LaTeX."""

import itertools
import re

from speechbrain_ser.table.entries import (
    HEADINGS,
    entry,
    groups_of,
    heading,
    lead,
    one_line,
    remarks,
)

WIDTH = 120  # of a terminal, in letters
LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "−": "$-$",
    "–": "--",
    "—": "---",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "★": r"$\bigstar$",
    "Δ": r"$\Delta$",
}


def to_text(table):
    """Writes a table as aligned text for a terminal.

    What is wider than 120 letters has its problems below the table, and then
    its columns in blocks under each other.

    Arguments
    ---------
    table : speechbrain_ser.table.layout.Table

    Returns
    -------
    str
        Ends without a line break.
    """
    marks, groups = None, groups_of(table)
    text = aligned(table, groups, marks)
    if width_of(text) > WIDTH:
        marks, blocks = {}, []
        for group in groups:
            together = aligned(table, [*(blocks or [[]])[-1], group], marks)
            if blocks and width_of(together) <= WIDTH:
                blocks[-1].append(group)
            else:
                blocks.append([group])
        text = "\n\n".join(aligned(table, b, marks) for b in blocks)
    below = [f"[{mark}] {words}" for words, mark in (marks or {}).items()]
    return "\n".join(
        [one_line(table.file.title), "", text, "", *below, *remarks(table)]
    ).rstrip()


def aligned(table, groups, marks):
    """Lays out the lead and some groups of columns in equal widths."""
    places = list(itertools.chain(*groups))
    lines = [["row", *table.file.about, *(heading(*p) for p in places)]]
    for row in table.file.rows:
        numbers = [entry(table, row, *place, marks) for place in places]
        lines.append([*lead(table, row), *numbers])
    widths = [max(map(len, column)) for column in zip(*lines)]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(w.ljust(n) for w, n in zip(line, widths)).rstrip()
        for line in lines
    )


def width_of(text):
    """Gives the length of a text's longest line."""
    return max(map(len, text.splitlines()))


def to_markdown(table):
    """Writes a table in GitHub's Markdown.

    Arguments
    ---------
    table : speechbrain_ser.table.layout.Table

    Returns
    -------
    str
    """
    places = list(itertools.chain(*groups_of(table)))
    words = ["row", *map(one_line, table.file.about)]
    head = [*words, *(heading(*place) for place in places)]
    lines = [
        f"# {markdown(table.file.title)}",
        "",
        markdown_line(map(markdown, head)),
        markdown_line(["---"] * len(head)),
    ]
    for row in table.file.rows:
        numbers = [entry(table, row, *place) for place in places]
        lines.append(
            markdown_line(map(markdown, [*lead(table, row), *numbers]))
        )
    lines.append("")
    for text in remarks(table):
        # what would start a heading or another list
        text = re.sub(r"^(\d*)([-+#>=.)])", r"\1\\\2", markdown(text))
        lines.append(f"- {text}")
    return "\n".join(lines).rstrip() + "\n"


def markdown_line(words):
    """Gives one line of a Markdown table."""
    return f"| {' | '.join(words)} |"


def markdown(text):
    r"""Escapes what Markdown would take for more than a letter.

    Example
    -------
    >>> print(markdown("a_b | <b> *"))
    a_b \| \<b> \*
    """
    text = re.sub(r"([\\`*|<~$&]|\](?=[(\[:]))", r"\\\1", one_line(text))
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", text)


def to_latex(table):
    """Writes a table for LaTeX with the package booktabs.

    Arguments
    ---------
    table : speechbrain_ser.table.layout.Table

    Returns
    -------
    str
    """
    marks, groups = {}, groups_of(table)
    places = list(itertools.chain(*groups))
    first = 1 + len(table.file.about)
    label = re.sub(r"[^A-Za-z0-9]+", "-", table.file.name).strip("-")
    body = []
    for row in table.file.rows:
        words = [latex(word) for word in lead(table, row)]
        for place in places:
            text = entry(table, row, *place, marks)
            words.append(
                re.sub(
                    r" \[([a-z]\d*)\]$",
                    r"\\textsuperscript{\1}",
                    latex(text),
                )
            )
        body.append(latex_line(words))
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{latex(table.file.title)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{'l' * (first + len(places))}}}",
        r"\toprule",
        *latex_head(table, groups),
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    below = [
        rf"\textsuperscript{{{mark}}} {latex(words)}."
        for words, mark in marks.items()
    ] + [latex(text) for text in remarks(table)]
    if below:
        lines += ["", r"\smallskip", r"\begin{minipage}{\linewidth}\small"]
        lines += [f"{text}\\par" for text in below] + [r"\end{minipage}"]
    text = "\n".join([*lines, r"\end{table}"]) + "\n"
    packages = "booktabs, amssymb" if r"\bigstar" in text else "booktabs"
    return f"% \\usepackage{{{packages}}}\n{text}"


def latex_head(table, groups):
    """Gives the lines above the middle rule: headings over their parts."""
    place = 1 + len(table.file.about)
    over, rules = [""] * place, []
    under = [latex(word) for word in ("row", *table.file.about)]
    for group in groups:
        if len(group) == 1:
            over.append("")
            under.append(latex(heading(*group[0])))
        else:
            name, size = latex(group[0][0]), len(group)
            over.append(rf"\multicolumn{{{size}}}{{c}}{{{name}}}")
            rules.append(rf"\cmidrule(lr){{{place + 1}-{place + size}}}")
            under += [latex(HEADINGS[part]) for _, part in group]
        place += len(group)
    lines = [latex_line(over), " ".join(rules)] if rules else []
    return [*lines, latex_line(under)]


def latex_line(words):
    """Gives one line of a tabular; what looks like an option is held off."""
    text = " & ".join(words)
    return ("{}" if text[:1] in ("[", "*") else "") + text + r" \\"


def latex(text):
    r"""Escapes what LaTeX would take for more than a letter.

    Example
    -------
    >>> print(latex("a_b: 5 % ± 1"))
    a\_b: 5 \% $\pm$ 1
    """
    return "".join(LATEX.get(sign, sign) for sign in one_line(text))
