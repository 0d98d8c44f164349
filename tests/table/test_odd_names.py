"""Rows, conditions, settings and corpora may have any name, and no path."""

import html
import re
from urllib.parse import unquote

import pytest

from speechbrain_ser.table.command import main
from tests.table.stub import run_command, words, write_stub

ODD = ["../x", "a#b", "/etc/passwd", "%41 ü", "<b>?&", "C:\\x"]
TABLE = (
    """\
title: ../../Odd # names
script: stub_recipe.py
hparams: stub.yaml
seeds: [1]
rows:
"""
    + "".join(
        f"  '{name}': {{number_of_epochs: {n}, system: strong}}\n"
        for n, name in enumerate(ODD, 1)
    )
    + """\
columns:
  ../WA: {metric: WA, split: test}
"""
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder within another, with the stub's table."""
    monkeypatch.setenv("STUB_LEDGER", str(tmp_path / "ledger"))
    inner = tmp_path / "in #1"
    inner.mkdir()
    write_stub(inner, TABLE)
    return inner


def files(folder):
    """All files but the bytes of compiled Python."""
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return {path for path in found if "__pycache__" not in path}


def test_names_of_rows_are_no_paths(folder):
    """All that is written lies in the results folder; links lead to it."""
    before = files(folder.parent)
    done = run_command(folder)
    assert done.returncode == 0, done.stderr
    new = files(folder.parent) - before - {"ledger"}
    assert new and all(path.startswith("in #1/results") for path in new)
    (page,) = (folder / "results" / "tables").rglob("table.html")
    text = page.read_text(encoding="utf-8")
    for name in ODD:
        assert f">{html.escape(name)}</th>" in text
    links = re.findall(r'<a href="([^"]+)"', text)
    assert len(links) == len(ODD)
    for link in links:
        assert not re.search(r"[#?]", link)
        place = page.parent / unquote(html.unescape(link))
        assert (place / "metrics.json").is_file()
        assert re.fullmatch(r"[0-9a-f]{16}", place.resolve().name)


def test_settings_and_corpora_are_no_paths(folder, small_pictures):
    """What is no folder's name has a digest; two stay two."""
    kept = [line for line in TABLE.splitlines() if "system" not in line]
    one_row = "\n".join(kept).replace("rows:", "rows:\n  a: {}")
    write_stub(folder, one_row)
    for corpus in ("../../out", "/out", "a b", "a_b"):
        more = ("--corpus_name", corpus, "--seconds", "0")
        assert main(words(folder, *more)) == 0
    tables = folder / "results" / "tables" / "stub_table"
    assert len(list(tables.iterdir())) == 4
    assert {path.parent.parent.parent for path in tables.rglob("*.html")} == {
        tables
    }
    assert not (folder.parent / "out").exists()
    for place in ("../x", ".._x", "x #2"):
        more = ("--data_folder", place, "--corpus_name", "c")
        assert main(words(folder, *more)) == 0
    names = {path.name for path in (tables / "c").iterdir()}
    assert len(names) == 3 and "stub+data_folder=.._x" in names
    assert all(re.fullmatch(r"[\w.+=-]+", name) for name in names)
