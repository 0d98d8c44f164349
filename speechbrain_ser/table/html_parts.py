"""The elements that a page is put together from, and its style."""

import html

STYLE = """
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 80rem; padding: 1.5rem 1rem 4rem;
  color: #1b1b1b; background: #fff; font: 16px/1.5 system-ui, -apple-system,
  "Segoe UI", "Liberation Sans", Arial, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.75rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; padding-bottom: .25rem;
  border-bottom: 1px solid #c9ced6; }
p { margin: .5rem 0; max-width: 60rem; }
.source, .note { color: #4a5058; }
ul.notes { max-width: 60rem; padding-left: 1.25rem; margin: .75rem 0; }
ul.notes li { margin: .25rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; border-top: 2px solid #1b1b1b;
  border-bottom: 2px solid #1b1b1b; font-size: 14px; overflow-wrap: normal;
  font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .45rem; text-align: left; vertical-align: top; }
td { white-space: nowrap; }
thead th { font-weight: 600; vertical-align: bottom; }
thead th.over { border-bottom: 1px solid #8a919b; }
thead tr:last-child th, thead th[rowspan] { border-bottom: 1px solid #1b1b1b; }
tbody th { font-weight: 600; min-width: 7rem; max-width: 16rem;
  overflow-wrap: break-word; }
tbody tr:nth-child(even) > * { background: #f4f6f8; }
th:first-child { position: sticky; left: 0; background: #fff; z-index: 1; }
thead tr + tr th:first-child { position: static; }
td.words, td .note { white-space: normal; min-width: 8rem; }
td .note { display: block; max-width: 18rem; overflow-wrap: anywhere;
  font-size: 14px; }
.problem { color: #9a2a12; }
.failed, .foreign, .missing { color: #9a2a12; font-weight: 600; }
.running, .queued { color: #5c4a00; font-weight: 600; }
.pictures { display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 25rem), 1fr)); }
figure { margin: 0; }
img { display: block; max-width: 100%; height: auto; }
figcaption { font-size: 15px; color: #4a5058; margin-top: .25rem; }
dl { display: grid; grid-template-columns: fit-content(18rem) minmax(0, 1fr);
  gap: .35rem 1.25rem; margin: 0; font-size: 15px; }
dt { font-weight: 600; }
dd { margin: 0; }
a { color: #0b5394; }
@media (max-width: 40rem) {
  h1 { font-size: 1.4rem; }
  tbody th { min-width: 6rem; max-width: 9rem; }
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; }
  dd { margin-bottom: .6rem; }
}
"""


def tag(name, text, kind="", **attributes):
    """Gives an element with escaped text; `kind` is its class."""
    if kind:
        attributes = {"class": kind} | attributes
    named = "".join(
        f' {key}="{html.escape(str(value))}"'
        for key, value in attributes.items()
    )
    return f"<{name}{named}>{html.escape(str(text))}</{name}>"


def html_table(head, body):
    """Gives a table that scrolls sideways by itself.

    Arguments
    ---------
    head, body : list of str
        The cells of each line.
    """
    lines = "\n".join(f"<tr>{cells}</tr>" for cells in body)
    head = "\n".join(f"<tr>{cells}</tr>" for cells in head)
    return (
        f'<div class="wide" tabindex="0"><table>\n<thead>\n{head}\n</thead>\n'
        f"<tbody>\n{lines}\n</tbody>\n</table></div>"
    )
