"""Rows, files, the screen, and what is said after them."""

import csv
import io
import json
import math
import os

import pytest

from speechbrain_ser.inference.journal import Said
from speechbrain_ser.inference.outputs import (
    as_screen,
    check_outputs,
    settings_path,
    write_outputs,
)
from speechbrain_ser.inference.rows import Rows, as_csv, as_jsonl
from speechbrain_ser.inference.speech import Sound, Speech
from speechbrain_ser.inference.summary import remarks, summary
from speechbrain_ser.utils.audio_files import AudioInfo
from speechbrain_ser.utils.errors import InputError
from tests.inference.fake import Fake

SAID = Said([0.123456, 0.7, 0.176544], {"arousal": -0.00004})
BAD = Said([], {}, "The audio file 'b.wav' is empty.")


def two_rows(speech=None, **how):
    """A good and a bad one."""
    speech = speech or [Speech("/x/a, ä.wav", "a, ä.wav"), Speech("b.wav")]
    made = Rows(Fake(), speech, how.pop("temperature", 1.0), **how)
    return [made.make(speech[0], 2.04225, SAID), made.make(speech[1], 0, BAD)]


def test_a_temperature_changes_no_order():
    """p^(1/T), normalised; 1 changes no bit."""
    given = SAID.posterior
    for temperature in (0.05, 0.5, 1.0, 2.0, 30.0):
        row, _ = two_rows(temperature=temperature)
        logs = [math.log(p) / temperature for p in given]
        total = sum(math.exp(value) for value in logs)
        for word, value in zip(Fake.labels, logs):
            wanted = math.exp(value) / total
            assert row[f"posterior_{word}"] == pytest.approx(wanted, abs=6e-5)
        assert row["label"] == "high"


def test_what_is_a_posterior_is_tempered_with_it(monkeypatch):
    """DANN's arousal is the posterior of high, whatever was kept of it."""
    monkeypatch.setattr(Fake, "of_posterior", {"arousal": 1})
    row, _ = two_rows(temperature=3.0)
    assert row["arousal"] == row["posterior_high"] != SAID.posterior[1]


def test_csv_has_all_columns_in_four_digits():
    """Of a bad row too."""
    text = as_csv(two_rows())
    assert text.splitlines()[0] == (
        "file,label,confidence,posterior_low,posterior_high,posterior_grün,"
        "arousal,seconds,model,error"
    )
    good, bad = csv.DictReader(io.StringIO(text))
    assert good == {
        "file": "a, ä.wav",
        "label": "high",
        "confidence": "0.7",
        "posterior_low": "0.1235",
        "posterior_high": "0.7",
        "posterior_grün": "0.1765",
        "arousal": "-0.0",
        "seconds": "2.042",
        "model": "fake",
        "error": "",
    }
    assert bad["error"] == BAD.error and bad["label"] == ""


def test_json_has_what_is_there():
    """A line a row."""
    good, bad = map(json.loads, as_jsonl(two_rows()).splitlines())
    assert good["posterior_grün"] == 0.1765 and "error" not in good
    assert bad == {
        "file": "b.wav",
        "seconds": 0,
        "model": "fake",
        "error": BAD.error,
    }


def test_parts_and_channels_have_columns_if_there_are_any():
    """In all rows."""
    speech = [Speech("a.wav", start=0.5, stop=1.0), Speech("b.wav", channel=2)]
    first, second = two_rows(speech)
    assert list(first)[:5] == ["file", "start", "stop", "channel", "label"]
    assert (first["start"], first["channel"]) == (0.5, None)
    assert (second["start"], second["channel"]) == (None, 2)


def test_below_a_confidence_the_label_is_unsure():
    """By the tempered posterior, as it is before it is rounded."""
    assert two_rows(min_confidence=0.7)[0]["label"] == "high"
    row = two_rows(min_confidence=0.70001)[0]
    assert (row["label"], row["confidence"]) == ("unsure", 0.7)
    assert row["posterior_high"] == 0.7
    assert two_rows(min_confidence=0.7, temperature=2)[0]["label"] == "unsure"
    assert two_rows(min_confidence=0.9, temperature=0.5)[0]["label"] == "high"


def test_a_name_that_is_no_utf8_is_written(tmp_path):
    """With the byte in words."""
    speech = [Speech("gr\udcfcn.wav"), Speech("b.wav")]
    rows = two_rows(speech)
    out = {"csv": str(tmp_path / "o.csv"), "json": str(tmp_path / "o.jsonl")}
    write_outputs(out, rows, None)
    for path in out.values():
        text = open(path, encoding="utf-8").read()
        assert "gr\\udcfcn" in text or "gr\\\\udcfcn" in text


def test_the_screen_has_a_line_a_row():
    """Aligned, control characters shown, the error in place of the label."""
    speech = [Speech("x", "a\nb\x1b[31m.wav"), Speech("b.wav")]
    head, good, bad = as_screen(
        two_rows(speech), Fake.labels, Fake.own
    ).splitlines()
    assert head.split() == "file seconds label low high grün arousal".split()
    assert good.split() == [
        "a\\x0ab\\x1b[31m.wav",
        *"2.04 high 0.12 0.70 0.18 -0.00".split(),
    ]
    assert head.index("low") + 3 == good.index("0.12") + 4
    assert bad.endswith(f"error: {BAD.error}")


def test_an_output_that_can_not_be_written_is_refused(tmp_path):
    """Before anything is computed; what is there stays as it is."""
    (tmp_path / "there.csv").write_text("kept")
    (tmp_path / "out.csv.settings.json").mkdir()
    source = tmp_path / "in.wav"
    source.touch()
    os.symlink(source, tmp_path / "link.csv")
    inputs = [str(source), str(tmp_path / "gone.wav"), "a\0b"]
    for name, said in (
        ("no/folder/a.csv", "there is no folder"),
        ("in.wav", "is read by this command"),
        ("link.csv", "is read by this command"),
        ("gone.wav", "is read by this command"),
        (".", "is a folder"),
        ("", "no name"),
        ("a\0b.csv", "no name"),
        (
            "out.csv",
            "out.csv.settings.json', where the settings go, is a folder",
        ),
    ):
        path = os.path.join(tmp_path, name) if name else name
        with pytest.raises(InputError, match=said):
            check_outputs({"csv": path}, inputs)
    with pytest.raises(InputError, match="is a device"):
        check_outputs({"csv": os.devnull}, [])
    good = str(tmp_path / "there.csv")
    with pytest.raises(InputError, match="is where --csv goes"):
        check_outputs({"csv": good, "json": good}, [])
    check_outputs({"csv": good, "json": "-"}, [str(source)])
    assert (tmp_path / "there.csv").read_text() == "kept"
    assert len(os.listdir(tmp_path)) == 4


@pytest.mark.skipif(os.name != "posix" or not os.geteuid(), reason="root may")
def test_a_folder_that_may_not_be_written_is_refused(tmp_path):
    """With the reason."""
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="Permission denied"):
        check_outputs({"csv": str(tmp_path / "a.csv")}, [])


def test_settings_lie_beside_the_first_file():
    """None where there is none."""
    assert settings_path({"csv": "a/o.csv", "json": "x"}) == (
        "a/o.csv.settings.json"
    )
    assert settings_path({"csv": "-"}) is None


def test_what_the_card_does_not_know_is_said_once():
    """Channels, rates, languages, each with an example."""

    def sound(name, rate=16000, channels=1, channel=None, language=None):
        """One that was looked at."""
        speech = Speech(f"/{name}", name, channel=channel, language=language)
        return Sound(speech, AudioInfo(rate, rate, channels))

    sounds = [
        sound("a", language="de-AT"),
        sound("b", channels=2),
        sound("c", channels=2, channel=1),
        sound("d", rate=8000, language="pl"),
        sound("e", channels=4, rate=44100, language="pl"),
        InputError("gone."),
    ]
    mixed, rates, languages = remarks(sounds, Fake.card, 16000)
    assert "2 of 5 have several channels" in mixed and "'b'" in mixed
    assert "2 of 5 have 8000 Hz, 44100 Hz" in rates and "'d'" in rates
    assert "2 of 5 are said to be pl" in languages and "on de alone" in (
        languages
    )
    (rates,) = remarks([sound("d", rate=8000, language="pl")], {}, 16000)
    assert "trained on 16000 Hz" in rates
    assert remarks([sound("a")], Fake.card, 16000) == []


def test_the_summary_counts():
    """What is labelled, what failed and why, what is left."""
    rows = two_rows(min_confidence=0.9) + two_rows()
    said = summary(rows, 2.0, 0.5, 0.9)
    assert said[0] == (
        "2 of 4 recordings labelled, 4.1 seconds of speech, 2 failed; 2.0 "
        "seconds of it now, in 0.5 seconds (real-time factor 0.25)"
    )
    assert said[1].startswith("coverage 50.0 %: 1 of 2 have a posterior of 0.9")
    assert said[2:] == [f"failed: b.wav: {BAD.error}"] * 2
    many = summary([two_rows()[1]] * 8, 0, 0.5, 0.9)
    assert many[
        0
    ] == "0 of 8 recordings labelled, 0.0 seconds of speech, 8 " + ("failed")
    assert many[-1] == "and 3 more, see the column error" and len(many) == 7
    assert summary(two_rows()[:1], 0, 0.5)[0].endswith("all of it before")
