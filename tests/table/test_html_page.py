"""The page for the browser says what the table holds."""

import os

import pytest

from speechbrain_ser.table import html_page, html_pictures
from speechbrain_ser.table.layout import Run
from tests.table.made_up import LOST, NASTY, Page, simple


def test_html_tables(table, small_pictures, tmp_path):
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
        [
            *("row", "against", "p, WA (%)", "sign flips, WA (%)"),
            *("p, UA (%)", "sign flips, UA (%)"),
        ],
        ["IPR", "baseline", "0.012", "0.250", "–", "–"],
        [NASTY, "baseline", "< 0.001", "0.002", "–", "–"],
        [NASTY, "IPR", "0.500", "0.750", "–", "–"],
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


def test_html_says_where_it_comes_from(table, small_pictures, tmp_path):
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


def test_links_are_quoted(table, small_pictures, tmp_path):
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
