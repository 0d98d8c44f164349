"""The same audio under two names, in one part and in two."""

import shutil

import numpy as np
import pytest
import soundfile

from speechbrain_ser.corpora.protocols import content
from speechbrain_ser.corpora.protocols.content import check_content
from speechbrain_ser.corpora.protocols.named import PROTOCOLS
from speechbrain_ser.utils.errors import InputError


@pytest.fixture
def parts(tmp_path):
    """Three labelled parts of three noises each, all of one length."""
    draw, made = np.random.default_rng(0), {}
    for part in ("train", "valid", "test"):
        made[part] = {}
        for i in range(3):
            path = str(tmp_path / f"{part}{i}.wav")
            soundfile.write(path, draw.uniform(-0.5, 0.5, 800), 16000)
            entry = {"wav": path, "emotion": ["ang", "sad"][i % 2]}
            made[part][f"{part}{i}"] = entry
    return made


def copied(entry, path, how):
    """An entry of the same audio in another file."""
    if how == "bytes":
        shutil.copy(entry["wav"], path)
        return entry | {"wav": str(path)}
    if how == "link":
        path.symlink_to(entry["wav"])
        return entry | {"wav": str(path)}
    samples, _ = soundfile.read(entry["wav"], dtype="int16")
    if how == "segment":
        samples = np.concatenate([samples[::-1], samples, samples])
        soundfile.write(path, samples, 16000)
        return entry | {"wav": str(path), "start": 800, "stop": 1600}
    if how == "float":
        soundfile.write(path, samples / 2**15, 16000, subtype="FLOAT")
        return entry | {"wav": str(path)}
    path = path.with_suffix(".flac")
    soundfile.write(path, samples, 16000)
    return entry | {"wav": str(path)}


@pytest.mark.parametrize("how", ["bytes", "link", "segment", "float", "flac"])
@pytest.mark.parametrize(
    "one, other", [("train", "test"), ("train", "valid"), ("valid", "test")]
)
def test_a_copy_in_another_labelled_part_is_refused(
    parts, tmp_path, one, other, how
):
    """Whatever its file; both ids, files and parts are named."""
    assert check_content(parts) == []
    copy = copied(parts[one][f"{one}1"], tmp_path / "copy.wav", how)
    parts[other]["copy"] = copy
    files = {other: f"{other}.json"}
    with pytest.raises(InputError) as caught:
        check_content(parts, files=files)
    assert str(caught.value) == (
        f"the utterance {one}1 of {one} ('{parts[one][f'{one}1']['wav']}') is "
        f"the same audio as copy of {other}.json ('{copy['wav']}'): keep one "
        "of them"
    )


def test_others_are_counted(parts):
    """The first pair is named."""
    for i in range(3):
        parts["valid"][f"copy{i}"] = parts["test"][f"test{i}"]
    with pytest.raises(InputError, match=r"copy0 .*\(2 more such pairs\)"):
        check_content(parts)


def test_another_segment_of_one_file_is_other_audio(parts):
    """Of the same length too."""
    entry = parts["train"]["train0"]
    parts["train"]["train0"] = entry | {"start": 0, "stop": 400}
    parts["test"]["rest"] = entry | {"start": 400, "stop": 800}
    assert check_content(parts) == []
    parts["test"]["rest"] = entry | {"start": 0, "stop": 400}
    with pytest.raises(InputError, match="train0 of train .* rest of test"):
        check_content(parts)


@pytest.mark.parametrize("hidden", ["unlabelled", "target", "enrolment"])
def test_tested_audio_trains_only_where_the_protocol_says_so(parts, hidden):
    """Without its label too; what else is in there is no matter."""
    parts[hidden] = parts["train"] | parts["valid"]
    assert check_content(parts) == []
    parts[hidden] = {"other": parts["test"]["test2"]}
    said = f"test2 of test .* as other of {hidden} .*: take it out of {hidden}"
    with pytest.raises(InputError, match=said):
        check_content(parts)
    assert check_content(parts, transductive=True) == []
    parts["train"]["copy"] = parts["test"]["test0"]
    with pytest.raises(InputError, match="copy of train .* as test0 of test"):
        check_content(parts, transductive=True)


def test_two_labels_of_one_audio_are_counted(parts):
    """In the train part alone; the same label twice is not told."""
    train = parts["train"]
    parts["valid"]["again"] = parts["valid"]["valid0"] | {"emotion": "sad"}
    assert check_content(parts) == []
    train["twice"] = train["train0"]
    assert check_content(parts) == []
    train["a"] = train["train0"] | {"emotion": "sad"}
    train["b"] = train["train1"] | {"emotion": "ang"}
    assert check_content(parts) == [
        "train: the same audio as another utterance, but another label: 2 (for "
        "example a and train0)"
    ]


def test_audio_is_read_only_where_lengths_are_alike(parts, monkeypatch):
    """And where it makes a difference: a corpus costs little."""
    read = []
    monkeypatch.setattr(
        content,
        "content_digest",
        lambda *place: read.append(place) or len(read),
    )
    same = {
        key: entry | {"emotion": "x"} for key, entry in parts["train"].items()
    }
    assert check_content({"train": same}) == [] and read == []
    entries = [e for part in parts.values() for e in part.values()]
    for i, entry in enumerate(entries):
        entry |= {"start": 0, "stop": 100 + i}
    assert check_content(parts) == [] and read == []
    parts["test"]["test0"]["stop"] = parts["train"]["train0"]["stop"]
    assert check_content(parts) == [] and len(read) == 2


def test_several_channels_are_compared_mixed(tmp_path, parts):
    """A stereo copy of what is tested, in one that trains."""
    entry = parts["test"]["test0"]
    samples, rate = soundfile.read(
        entry["wav"], start=entry.get("start", 0), stop=entry.get("stop")
    )
    path = str(tmp_path / "two.wav")
    soundfile.write(path, np.stack([samples, samples], axis=1), rate)
    parts["train"]["two"] = {"wav": path, "channel": "mix", "emotion": "sad"}
    with pytest.raises(InputError, match="two of train .* as test0 of test"):
        check_content(parts)


@pytest.mark.parametrize("channel", [1, 2])
def test_a_channel_is_compared_alone(tmp_path, parts, channel):
    """Whoever speaks on the other one."""
    entry = parts["test"]["test0"]
    samples, rate = soundfile.read(entry["wav"])
    path = str(tmp_path / "two.wav")
    soundfile.write(path, np.stack([samples, samples / 2], axis=1), rate)
    parts["train"]["two"] = {"wav": path, "emotion": "sad"}
    parts["train"]["two"]["channel"] = channel
    if channel == 2:
        assert check_content(parts) == []
        return
    with pytest.raises(InputError, match="two of train .* as test0 of test"):
        check_content(parts)


def test_the_protocols_of_dann_alone_are_transductive():
    """And say so in their text."""
    named = [n for n, p in PROTOCOLS.items() if p.transductive]
    assert named == ["cross-lingual@1", "open-cross-lingual@1"]
    assert [
        n for n, p in PROTOCOLS.items() if "transductive" in p.text
    ] == named
