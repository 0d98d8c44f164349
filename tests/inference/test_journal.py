"""What was done is known again, whatever happened since."""

import dataclasses
import json
import os
import random

import pytest

from speechbrain_ser.inference.journal import (
    Journal,
    Said,
    file_key,
    journal_folder,
)
from speechbrain_ser.inference.speech import Speech
from speechbrain_ser.utils.audio_files import AudioInfo
from tests import processes

INFO = AudioInfo(16000, 16000, 1)
SAID = Said([0.1, 1 / 3, 1e-17], {"arousal": -2.5})
BAD = Said([], {}, "The audio file 'ä\udcfc.wav' is truncated.")
DECIDING = ["f" * 64, "train"]


def filled(folder, keys=("a", "b")):
    """A journal with some rows in it; returns its path."""
    journal = Journal(str(folder), DECIDING)
    for key in keys:
        journal.add(key, "", INFO, SAID)
    journal.close()
    return journal.path


def known(folder, keys, **how):
    """What a new journal reads."""
    journal = Journal(str(folder), DECIDING)
    journal.read(set(keys), **how)
    return {key: journal.get(key) for key in keys}


def test_what_was_said_is_read_again_to_the_last_digit(tmp_path):
    """Errors too; only what is asked for, and only in its context."""
    journal = Journal(str(tmp_path / "new" / "folder"), DECIDING)
    journal.add("a", "", INFO, SAID)
    journal.add("b", "batch", INFO, BAD)
    journal.close()
    again = Journal(str(tmp_path / "new" / "folder"), DECIDING)
    again.read({"a", "b"})
    assert again.get("a") == SAID and again.infos == {"a": INFO, "b": INFO}
    assert again.get("b", "batch") == BAD and again.get("b") is None
    assert known(tmp_path / "new" / "folder", ["c"]) == {"c": None}


def test_another_model_or_setting_has_its_own(tmp_path):
    """Nothing of one is taken for the other's."""
    filled(tmp_path)
    for deciding in (["e" * 64, "train"], ["f" * 64, "speaker"]):
        journal = Journal(str(tmp_path), deciding)
        journal.read({"a"})
        assert journal.get("a") is None


def test_again_takes_the_headers_alone(tmp_path):
    """And the row that is written later counts."""
    filled(tmp_path)
    journal = Journal(str(tmp_path), DECIDING)
    journal.read({"a"}, again=True)
    assert journal.get("a") is None and journal.infos["a"] == INFO
    journal.add("a", "", INFO, BAD)
    journal.close()
    assert known(tmp_path, "a") == {"a": BAD}


def test_a_file_is_known_by_size_time_and_part(tmp_path):
    """An edited file is another one, even if its size stays."""
    path = tmp_path / "a.wav"
    path.write_bytes(b"1234")
    speech = Speech(str(path))
    first = file_key(speech)
    assert file_key(speech) == first
    others = {first}
    for part in ({"start": 0.0}, {"stop": 1.0}, {"channel": 1}):
        others.add(file_key(dataclasses.replace(speech, **part)))
    status = os.stat(path)
    path.write_bytes(b"5678")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    others.add(file_key(speech))
    path.write_bytes(b"56789")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    others.add(file_key(speech))
    path.rename(tmp_path / "b.wav")
    others.add(file_key(Speech(str(tmp_path / "b.wav"))))
    assert len(others) == 7
    assert file_key(speech) is None
    assert file_key(Speech("a\0b")) is None


def test_a_journal_cut_anywhere_loses_its_end_alone(tmp_path):
    """And what is added behind the cut is not lost with it."""
    keys = [f"k{i}" for i in range(5)]
    path = filled(tmp_path, keys)
    data = open(path, "rb").read()
    ends = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]
    random.seed(0)
    for cut in [0, 1, *ends, *(e - 1 for e in ends), *random.sample(ends, 2)]:
        with open(path, "wb") as file:
            file.write(data[:cut])
        whole = sum(end <= cut for end in ends)
        # a line that lacks nothing but its end is whole
        whole += cut + 1 in ends
        filled(tmp_path, ["last"])
        found = known(tmp_path, [*keys, "last"])
        assert found["last"] == SAID
        assert [found[key] for key in keys] == [SAID] * whole + [None] * (
            5 - whole
        )


def test_what_is_no_row_is_passed_over(tmp_path):
    """Whoever wrote it."""
    path = filled(tmp_path)
    good = json.loads(open(path).readline())
    with open(path, "a") as file:
        for change in (
            {"posterior": None},
            {"posterior": ["x"]},
            {"own": []},
            {"info": [1]},
            {"key": ["a"]},
        ):
            print(json.dumps(good | change), file=file)
        print("[]", "3", "{}", "\udcff".encode("utf-8", "replace"), file=file)
        print(b"\xff\xfe", file=file)
    assert known(tmp_path, ["a", "b"]) == {"a": SAID, "b": SAID}


@pytest.mark.parametrize("when", ["at once", "full"])
def test_a_place_that_can_not_be_written_is_said_once(
    tmp_path, when, monkeypatch
):
    """And all goes on without."""
    said = []
    folder = tmp_path / "file"
    if when == "at once":
        folder.write_text("a file, no folder")
    journal = Journal(str(folder), DECIDING, said.append)
    journal.read({"a"})
    if when == "full":
        monkeypatch.setattr(os, "write", lambda handle, line: len(line) - 1)
    for key in "abc":
        journal.add(key, "", INFO, SAID)
    assert len(said) == 1 and "--journal names another" in said[0]
    assert journal.get("c") == SAID


def test_where_it_is(tmp_path, monkeypatch):
    """The project's own variable, the system's, the home."""
    monkeypatch.delenv("SPEECHBRAIN_SER_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/h")
    assert journal_folder() == "/h/.cache/speechbrain_ser/labels"
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert journal_folder() == "/x/speechbrain_ser/labels"
    monkeypatch.setenv("SPEECHBRAIN_SER_CACHE", "/s")
    assert journal_folder() == "/s/labels"


def add_many(folder, name, count):
    """Adds rows, in a process of its own."""
    journal = Journal(folder, DECIDING)
    for i in range(count):
        journal.add(f"{name}{i}", "", INFO, SAID)


def test_two_processes_add_to_one(tmp_path):
    """No line is lost or mixed."""
    children = [
        processes.start(add_many, str(tmp_path), name, 200) for name in "ab"
    ]
    for child in children:
        assert child.wait().returncode == 0, child.stderr
    keys = [f"{name}{i}" for name in "ab" for i in range(200)]
    assert list(known(tmp_path, keys).values()) == [SAID] * 400
