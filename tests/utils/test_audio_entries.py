"""Entries of an annotation against the files that they mean."""

import numpy as np
import pytest

from speechbrain_ser.utils.audio_entries import check_audio, refuse_several
from speechbrain_ser.utils.errors import InputError
from tests.utils.test_audio_files import TONE, write


def stereo(path):
    """Writes a file of two channels."""
    return write(path, np.stack([TONE, TONE / 2], axis=1))


def test_entries_of_several_channels_say_so(tmp_path):
    """Unless they name one; what was given stays as it was."""
    two, one = stereo(tmp_path / "two.wav"), write(tmp_path / "one.wav")
    given = {
        "a": {"wav": one, "duration": 1.0},
        "b": {"wav": two, "duration": 1.0},
        "c": {"wav": two, "channel": 2},
        "d": {"wav": two, "channel": "mix"},
        "e": {"wav": one, "channel": 1},
    }
    before = {key: dict(entry) for key, entry in given.items()}
    found = check_audio(given)
    assert given == before
    assert found == given | {"b": given["b"] | {"channel": "mix"}}
    assert list(found) == list(given)


@pytest.mark.parametrize("write_file, channels", [(stereo, 2), (write, 1)])
def test_a_channel_that_is_not_there(tmp_path, write_file, channels):
    """Counted from 1."""
    path = write_file(tmp_path / "a.wav")
    for channel in range(1, channels + 1):
        check_audio({"x": {"wav": path, "channel": channel}})
    with pytest.raises(InputError) as error:
        check_audio({"x": {"wav": path, "channel": channels + 1}}, source="a")
    assert str(error.value) == (
        f"In the annotation 'a', entry 'x' means channel {channels + 1} of "
        f"'{path}', which has {channels}: correct it, or leave it out."
    )


def test_several_channels_are_refused_where_asked(tmp_path):
    """Files whose mean would be taken, each once, in all parts."""
    paths = [stereo(tmp_path / f"{name}.wav") for name in "cab"]
    one = write(tmp_path / "one.wav")
    parts = {
        "train": {
            "1": {"wav": one},
            "2": {"wav": one, "channel": "mix"},
            "3": {"wav": paths[0], "channel": 1},
        }
    }
    refuse_several(parts, "--key mix")
    parts["train"]["4"] = parts["train"]["5"] = {"wav": paths[2]} | {
        "channel": "mix"
    }
    parts["test"] = {"1": {"wav": paths[1], "channel": "mix"}}
    with pytest.raises(InputError) as error:
        refuse_several(parts, "--key mix")
    assert str(error.value) == (
        f"The audio file '{paths[1]}' has 2 channels: give --key mix to take "
        "their mean, or convert it to mono (1 more file is bad: "
        f"'{paths[2]}')."
    )


@pytest.mark.parametrize(
    "span",
    [
        {"start": 0, "stop": 16001},
        {"start": 16000},
        {"start": 5, "stop": 5},
        {"start": -1, "stop": 5},
    ],
)
def test_an_entry_outside_its_file(tmp_path, span):
    """Past the end, empty, before the beginning."""
    path = write(tmp_path / "a.wav")
    with pytest.raises(InputError, match="'x' means samples .* has 16000"):
        check_audio({"x": {"wav": path, **span}})


@pytest.mark.parametrize(
    "seconds, rate, duration, fits",
    [
        (1, 16000, 1.0, True),
        (1, 16000, 1.05, True),
        (1, 16000, 0.95, True),
        (1, 16000, 1.06, False),
        (1, 16000, 0.9, False),
        (10, 8000, 10.09, True),
        (10, 8000, 10.2, False),
        (10, 44100, 5.0, False),
    ],
)
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_duration_that_is_not_its_audios(
    tmp_path, seconds, rate, duration, fits, suffix
):
    """Off by more than 0.05 s and more than 1 %: both numbers are told."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, seconds * rate)
    path = write(tmp_path / f"a.{suffix}", noise, rate)
    annotation = {
        "good": {"wav": path},
        "x": {"wav": path, "duration": duration},
        "half": {
            "wav": path,
            "duration": 0.5,
            "start": 9,
            "stop": 9 + rate // 2,
        },
    }
    if fits:
        assert check_audio(annotation, source="a.json") is annotation
        return
    with pytest.raises(InputError) as error:
        check_audio(annotation, source="a.json")
    assert str(error.value) == (
        f"In the annotation 'a.json', entry 'x' has the duration {duration:g} s, "
        f"but samples 0 to {seconds * rate} of '{path}' are {seconds}.000 s: "
        "correct its duration, or its start and stop (samples at the file's "
        "own rate)."
    )


def test_all_wrong_entries_are_counted(tmp_path):
    """Durations and spans together."""
    path = write(tmp_path / "a.wav")
    annotation = {
        "a": {"wav": path, "duration": 3},
        "b": {"wav": path, "stop": 16001},
        "c": {"wav": path, "duration": 1, "start": 8000},
    }
    said = r"entry 'a' has .* \(2 more entries are bad: 'b', 'c'\)\.$"
    with pytest.raises(InputError, match=said):
        check_audio(annotation, source="a.json")


def test_an_entry_inside_its_file(tmp_path):
    """The last sample is inside."""
    path = write(tmp_path / "a.wav")
    check_audio({"x": {"wav": path, "start": 1, "stop": 16000}})
