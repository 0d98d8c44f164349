"""Long recordings in windows: where they are cut, and what a row says."""

import csv
import math

import numpy as np
import pytest
import soundfile

from speechbrain_ser.inference.arguments import parse
from speechbrain_ser.inference.label import main
from speechbrain_ser.inference.speech import Sound, Speech
from speechbrain_ser.inference.windows import cut
from speechbrain_ser.utils.audio_files import inspect_audio
from tests.inference.fake import Fake, noise


@pytest.fixture
def rising(tmp_path, monkeypatch):
    """Ten seconds, each louder than the last one; the command runs beside."""
    monkeypatch.setenv("SPEECHBRAIN_SER_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    sizes = np.repeat(np.arange(1, 11), 8000) / 20
    signal = sizes * draw.choice([-1, 1], 80000)
    soundfile.write("a.wav", signal, 8000)
    noise(tmp_path / "b.wav", 1.3)
    (tmp_path / "bad.wav").write_text("no sound")
    return tmp_path


def labelled(*words, code=0):
    """The rows of a command."""
    words = [*map(str, words), "--csv", "o.csv", "--no_journal"]
    assert main(words, lambda options: Fake()) == code
    with open("o.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("seconds", "count"), [(1, 10), (2, 5), (3, 3), (4, 2)]
)
def test_windows_are_equal_and_leave_nothing_out(rising, seconds, count):
    """As many as are nearest to the length that is asked for."""
    found = cut([Speech("a.wav")], seconds)
    assert len(found) == count
    assert found[0].start == 0 and found[-1].stop == 10
    for before, after in zip(found, found[1:]):
        assert before.stop == after.start
    lengths = [each.stop - each.start for each in found]
    assert max(lengths) - min(lengths) <= 0.002
    assert lengths[0] == pytest.approx(10 / count, abs=0.001)


def test_a_part_stays_within_its_bounds(rising):
    """With all else that was said of it."""
    part = Speech("a.wav", "call", 1.5, 8.5, channel=1, speaker="x")
    found = cut([part], 2)
    assert [each.start for each in found] == [1.5, 3.25, 5.0, 6.75]
    assert found[-1].stop == 8.5
    assert {(s.name, s.channel, s.speaker) for s in found} == {("call", 1, "x")}


def test_what_is_no_audio_stays_one(rising):
    """It is a row with its reason later."""
    assert cut([Speech("bad.wav")], 2) == [Speech("bad.wav")]


def test_a_short_one_stays_as_it_is(rising):
    """So that it is labelled to its last sample, and once."""
    for seconds in (7, 60):
        assert cut([Speech("a.wav")], seconds) == [Speech("a.wav")]
    soundfile.write("odd.wav", np.ones(20003) / 2, 8000)
    *_, last = cut([Speech("odd.wav")], 1)
    assert Sound(last, inspect_audio("odd.wav")).span[1] == 20003


def test_a_row_a_window(rising):
    """What it says is of its own seconds; whoever fails is one row."""
    rows = labelled("a.wav", "b.wav", "bad.wav", "--window", 2, code=1)
    assert [(r["file"], r["start"], r["stop"]) for r in rows] == [
        *(
            ("a.wav", str(float(2 * i)), str(float(2 * i + 2)))
            for i in range(5)
        ),
        ("b.wav", "", ""),
        ("bad.wav", "", ""),
    ]
    assert rows[-1]["error"] and not any(row["error"] for row in rows[:-1])
    own = [float(row["posterior_high"]) for row in rows[:5]]
    assert all(a != b for a, b in zip(own, own[1:]))
    with open("t.csv", "w", encoding="utf-8") as file:
        file.write("file,start,stop\n")
        file.writelines(f"a.wav,{2 * i},{2 * i + 2}\n" for i in range(5))
    given = labelled("t.csv")
    assert [row["posterior_high"] for row in given] == [
        row["posterior_high"] for row in rows[:5]
    ]


@pytest.mark.parametrize("word", ["0", "0.05", "-1", "nan", "inf", "long"])
def test_no_window_is_refused(word, capsys):
    """Before anything else is done."""
    with pytest.raises(SystemExit) as stop:
        parse(["a.wav", f"--window={word}"])
    assert stop.value.code == 2
    assert "no number of seconds from 0.1" in capsys.readouterr().err


def test_it_is_a_setting(rising):
    """A run that is given again cuts the same."""
    rows = labelled("a.wav", "--window", "2.5")
    assert len(rows) == 4
    again = labelled("--settings", "o.csv.settings.json")
    assert again == rows
    assert math.isclose(float(rows[1]["seconds"]), 2.5)
