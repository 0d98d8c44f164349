"""What is odd in a corpus: refused where it is much, else told and listed."""

import pytest

from speechbrain_ser.utils import odd_entries
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.odd_entries import (
    OddEntries,
    Read,
    odd_rows,
    on_scale,
)


def some(count, usual=False, twice=False):
    """So many odd entries, perhaps each for two reasons."""
    odd = OddEntries()
    for i in range(count):
        for what in ("Lines", "Words")[: 1 + twice]:
            odd.add("a.csv", f"line {i}", what, "left out", i, usual)
    return odd


@pytest.mark.parametrize(
    "count, total, refused",
    [(5, 5, False), (6, 6, True), (6, 599, True), (6, 600, False)],
)
def test_more_than_five_and_more_than_one_in_a_hundred(count, total, refused):
    """Both; an entry that is odd in two ways counts once."""
    for odd in (some(count), some(count, twice=True)):
        if not refused:
            odd.settle(total, "lines of 'a.csv'")
            continue
        with pytest.raises(InputError) as caught:
            odd.settle(total, "lines of 'a.csv'")
        said = f"{count} of {total} lines of 'a.csv' are odd, more than 1 %"
        assert str(caught.value).startswith(said)
        assert "'a.csv', line 0: Lines: 0" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_what_is_usual_is_never_too_much():
    """Whatever part of the corpus it is; it is listed all the same."""
    odd = some(50, usual=True)
    odd.settle(50, "lines")
    assert len(odd.rows) == 50
    with pytest.raises(InputError):
        some(50).settle(50, "lines")


def test_the_first_five_are_shown(monkeypatch):
    """Of each kind, with the number of all."""
    said = []
    for level in ("warning", "info"):
        monkeypatch.setattr(
            odd_entries.logger,
            level,
            lambda text, *values, level=level: said.append(
                (level, text % values)
            ),
        )
    odd = some(7)
    odd.add("b.csv", "x", "Words", "clamped", "100%", usual=True)
    odd.settle(9999, "lines")
    shown = "; ".join(f"'a.csv', line {i}: {i}" for i in range(5))
    assert said == [
        ("warning", f"Lines, left out: 7 ({shown}; ...)."),
        ("info", "Words, clamped: 1 ('b.csv', x: 100%)."),
    ]


def test_rows_of_several_corpora():
    """In their order."""
    read = {
        "source": Read({}, [{"a": 1}]),
        "target": Read({"x": {}}, [{"b": 2}]),
    }
    assert odd_rows(read) == [{"a": 1}, {"b": 2}]
    assert odd_rows({"x": {"wav": "a"}}) == []


@pytest.mark.parametrize(
    "value, kept",
    [(1, 1), (5, 5), (5.5, 5), (0.5, 1), (5.51, None), (0.49, None)],
)
def test_clamped_up_to_an_eighth_of_the_scale(value, kept):
    """IEMOCAP's, from 1 to 5."""
    assert on_scale(value, 1, 5) == kept
