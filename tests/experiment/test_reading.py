"""What an experiment reads is read once, and never stale."""

import json
import os

import pytest

from speechbrain_ser.corpora.annotations import write_annotation
from speechbrain_ser.experiment import reading
from speechbrain_ser.utils.errors import InputError


def test_own_annotations_are_read_once_while_they_are_the_same(
    tmp_path, tones, monkeypatch
):
    """A file that is written anew, or comes later, is read; else nothing."""
    paths = {
        name: str(tmp_path / f"{name}.json") for name in ("train", "valid")
    }
    read, times = reading.read_annotation, []

    def counted(path, **options):
        """Notes who is read."""
        times.append(os.path.basename(path))
        return read(path, **options)

    monkeypatch.setattr(reading, "read_annotation", counted)
    write_annotation(paths["train"], tones)
    first = reading.read_own(paths, ("valid",))
    assert reading.read_own(paths, ("valid",)) is first
    assert first["valid"] == {} and times == ["train.json"]
    tones["tone0"]["emotion"] = "sad"
    write_annotation(paths["train"], tones)
    second = reading.read_own(paths, ("valid",))
    assert second["train"]["tone0"]["emotion"] == "sad"
    assert first["train"]["tone0"]["emotion"] == "ang"
    write_annotation(paths["valid"], {"tone1": tones["tone1"]})
    third = reading.read_own(paths, ("valid",))
    assert list(third["valid"]) == ["tone1"]
    assert json.dumps(third["train"]) == json.dumps(second["train"])


def test_data_root_stands_in_for_itself(tmp_path, tones):
    """In each part; another folder is another reading."""
    path = tmp_path / "train.json"
    folder, name = os.path.split(tones["tone0"]["wav"])
    entry = tones["tone0"] | {"wav": "{data_root}/" + name}
    write_annotation(path, {"tone0": entry})
    paths = {"train": str(path)}
    read = reading.read_own(paths, (), folder)
    assert read == {"train": {"tone0": tones["tone0"]}}
    with pytest.raises(InputError, match="is missing"):
        reading.read_own(paths, (), "/nowhere")
    with pytest.raises(InputError, match="write the folder .* in its place"):
        reading.read_own(paths, ())
