"""Any corpus by a CSV or a JSON: what is read, and which row is wrong."""

import json
import os
import re

import numpy as np
import pytest
import soundfile

from speechbrain_ser.corpora import manifest
from speechbrain_ser.corpora.annotations import read_annotation
from speechbrain_ser.corpora.manifest import manifest_labels, read_manifest
from speechbrain_ser.utils.audio import load_audio
from speechbrain_ser.utils.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """A folder with four seconds of speech, in four rates."""
    (tmp_path / "wav").mkdir()
    rng = np.random.default_rng(0)
    for name, rate in zip("abcd", (16000, 8000, 16000, 48000)):
        soundfile.write(
            tmp_path / "wav" / f"{name}.wav", rng.uniform(-0.5, 0.5, rate), rate
        )
    return tmp_path


def write(folder, *rows, header="file,emotion,speaker", name="my.csv"):
    """A CSV of some rows."""
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def refusal(call, *args, **more):
    """The sentence that a call raises."""
    with pytest.raises(InputError) as error:
        call(*args, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_row_is_an_entry(folder):
    """All columns, in the units of an annotation."""
    header = (
        "file;speaker;emotion;gender;session;language;start;stop;split;"
        "intensity;votes;valence;arousal;dominance;agreement;mood"
    )
    row = (
        "wav/b.wav;7;Happy;Female;3;de;0,25;0.75;dev;strong;"
        "happy sad+happy;-0,5;1e-1;3;95%;odd"
    )
    path = write(folder, row, header=header)
    assert read_manifest(path, map="Happy=hap,sad=", labels=["hap"]) == {
        "wav/b.wav:0,25-0.75": {
            "wav": str(folder / "wav" / "b.wav"),
            "speaker": "7",
            "emotion": "hap",
            "gender": "F",
            "session": "3",
            "language": "de",
            "start": 2000,
            "stop": 6000,
            "duration": 0.5,
            "split": "valid",
            "intensity": "strong",
            "votes": [["happy"], ["happy"]],
            "valence": -0.5,
            "arousal": 0.1,
            "dominance": 3.0,
            "agreement": 0.95,
            "columns": {"mood": "odd"},
        }
    }


def test_an_empty_cell_is_nothing(folder):
    """As is a word that says so; start and stop are then the whole file's."""
    header = "file,emotion,speaker,gender,start,stop,votes,valence,note"
    path = write(folder, "wav/d.wav,sad,s,n/a,,,unknown,-,", header=header)
    assert read_manifest(path) == {
        "wav/d.wav": {
            "wav": str(folder / "wav" / "d.wav"),
            "emotion": "sad",
            "speaker": "s",
            "start": 0,
            "stop": 48000,
            "duration": 1.0,
        }
    }


@pytest.mark.parametrize(
    "words",
    [("yes", "no"), ("on", "off"), ("1", "2"), ("01", "1"), ("true", "1.0")],
)
def test_words_stay_words(folder, words):
    """Class words and speakers, with --labels and without."""
    path = write(folder, *(f"wav/{n}.wav,{w},{w}" for n, w in zip("ab", words)))
    for labels in (None, list(words)):
        read = read_manifest(path, labels)
        assert tuple(e["emotion"] for e in read.values()) == words
        assert tuple(e["speaker"] for e in read.values()) == words
    assert manifest_labels(path) == sorted(words)
    # through the file that a run keeps
    kept = folder / "train.json"
    kept.write_text(json.dumps(read))
    assert {k: e["emotion"] for k, e in read_annotation(kept).items()} == {
        k: e["emotion"] for k, e in read.items()
    }


def test_where_files_are_looked_for(folder, tmp_path_factory):
    """Beside the CSV, in data_root, in {data_root}, or where it says."""
    path = write(folder, "wav/a.wav,sad,s")
    first = read_manifest(path)
    elsewhere = tmp_path_factory.mktemp("csv")
    moved = write(elsewhere, "wav/a.wav,sad,s")
    assert read_manifest(moved, data_root=folder) == first
    assert read_manifest(moved, data_root=str(folder)) == first
    named = write(elsewhere, "{data_root}/wav/a.wav,sad,s")
    assert read_manifest(named, data_root=folder) == first
    whole = write(elsewhere, f"{folder}/wav/a.wav,sad,s")
    [(key, entry)] = read_manifest(whole).items()
    assert key == entry["wav"] == first["wav/a.wav"]["wav"]
    named = write(elsewhere, "{data_root}/wav/a.wav,sad,s")
    said = refusal(read_manifest, named)
    assert "row 2 has the wav '{data_root}/wav/a.wav' but no data_root" in said
    assert "--data_root" in said
    assert "row 2" in refusal(read_manifest, moved)
    windows = write(elsewhere, "wav\\a.wav,sad,s")
    said = refusal(read_manifest, windows, data_root=folder)
    assert "row 2 has the wav 'wav\\a.wav', a path as Windows" in said


def test_the_order_of_rows_does_not_matter(folder):
    """Entries are sorted by their id."""
    rows = [f"wav/{name}.wav,sad,{name}" for name in "cab"]
    one = read_manifest(write(folder, *rows))
    other = read_manifest(write(folder, *reversed(rows)))
    assert list(one) == list(other) == sorted(one)


def test_parts_of_a_file_are_utterances(folder):
    """Also at another rate; a stop just behind the end is the end."""
    header = "file,emotion,speaker,start,stop"
    rows = ["wav/d.wav,sad,s,0,0.5", "wav/d.wav,joy,s,0.5,1.005"]
    read = read_manifest(write(folder, *rows, header=header))
    first, second = read.values()
    assert (first["start"], first["stop"]) == (0, 24000)
    assert (second["start"], second["stop"]) == (24000, 48000)
    whole = load_audio({"wav": first["wav"]})
    assert len(load_audio(first)) + len(load_audio(second)) == len(whole)
    rows = ["wav/d.wav,sad,s,,0.5", "wav/d.wav,joy,s,0.5,"]
    read = read_manifest(write(folder, *rows, header=header))
    assert [e["duration"] for e in read.values()] == [0.5, 0.5]


def test_stereo_is_mixed(folder):
    """And is so in a JSON."""
    noise = np.random.default_rng(0).uniform(-1, 1, (800, 2))
    soundfile.write(folder / "two.wav", noise, 8000)
    read = read_manifest(write(folder, "two.wav,sad,s"))
    assert read["two.wav"]["channel"] == "mix"
    assert len(load_audio(read["two.wav"], 8000)) == 800
    path = folder / "my.json"
    path.write_text(
        json.dumps({"a": {"wav": "two.wav", "length": 0.1, "emo": "sad"}})
    )
    assert read_manifest(path)["a"]["channel"] == "mix"


def test_a_channel_is_picked_by_its_number(folder):
    """Two who speak on a telephone are two utterances, and no third."""
    noise = np.random.default_rng(0).uniform(-1, 1, (800, 2))
    noise = noise.astype("float32")
    soundfile.write(folder / "two.wav", noise, 8000, subtype="FLOAT")
    header = "file,emotion,speaker,start,stop,channel"
    rows = ["two.wav,sad,s,,,1", "two.wav,joy,t,,,2.0", "wav/a.wav,joy,t,0,1,"]
    read = read_manifest(write(folder, *rows, header=header))
    assert list(read) == [
        "two.wav:channel 1",
        "two.wav:channel 2",
        "wav/a.wav:0-1",
    ]
    for number in (1, 2):
        entry = read[f"two.wav:channel {number}"]
        assert entry["channel"] == number and entry["stop"] == 800
        signal = load_audio(entry, 8000).numpy()
        np.testing.assert_array_equal(signal, noise[:, number - 1])
    assert "channel" not in read["wav/a.wav:0-1"]
    for channel, said in (
        ("3", "row 2 means channel 3 of '.*two.wav', which has 2: correct it"),
        ("left", "row 2 has 'left' as channel: give a channel's number, from"),
        ("0", "row 2 has '0' as channel"),
        ("1.5", "row 2 has '1.5' as channel"),
    ):
        path = write(folder, f"two.wav,sad,s,,,{channel}", header=header)
        assert re.search(said, refusal(read_manifest, path))


@pytest.mark.parametrize(
    "first, second, fits",
    [
        (",,1", ",,2", True),
        (",,1", ",,1", False),
        (",,1", ",,", False),
        (",,", ",,2", False),
        (",,mix", ",,2", False),
        ("0,0.05,1", "0,0.05,2", True),
        ("0,0.05,1", "0.05,0.1,1", True),
        ("0,0.05,1", "0,0.05,", False),
        ("0,0.05,", "0,0.05,1", False),
        (",,1", "0,0.05,1", False),
        (",,1", "0,0.05,2", True),
        ("0,0.05,", ",,1", False),
        ("0,0.05,1", ",,", False),
    ],
)
def test_a_channel_twice(folder, first, second, fits):
    """As a file twice; the mean has something of each."""
    noise = np.random.default_rng(0).uniform(-1, 1, (800, 2))
    soundfile.write(folder / "two.wav", noise, 8000)
    header = "file,emotion,speaker,start,stop,channel"
    rows = [f"two.wav,sad,s,{first}", f"two.wav,sad,s,{second}"]
    path = write(folder, *rows, header=header)
    if fits:
        assert len(read_manifest(path)) == 2
    else:
        said = refusal(read_manifest, path)
        assert "row 3 has the file" in said and "of row 2 once more" in said


def test_only_headers_are_read(folder, monkeypatch):
    """Of thousands of files."""

    def fail(*args):
        """Is not called."""
        raise AssertionError

    monkeypatch.setattr(
        "speechbrain_ser.utils.audio_files._inspect_decoding", fail
    )
    assert read_manifest(write(folder, "wav/a.wav,sad,s"))


def test_what_map_leaves_out_is_said(folder, monkeypatch):
    """And may be broken, or stand there twice."""
    said = []
    monkeypatch.setattr(
        manifest.logger,
        "info",
        lambda text, *values: said.append(text % values),
    )
    path = write(folder, "wav/a.wav,sad,s", "no.wav,xxx,s", "wav/b.wav,xxx,s")
    assert list(read_manifest(path, map="xxx=")) == ["wav/a.wav"]
    assert said == [f"'{path}': 2 utterances left out by --map"]


def test_unlabelled_rows_need_no_emotion(folder):
    """If their split says so."""
    header = "file,emotion,speaker,split"
    rows = ["wav/a.wav,sad,s,train", "wav/b.wav,,s,Unlabeled"]
    read = read_manifest(write(folder, *rows, header=header))
    assert "emotion" not in read["wav/b.wav"]
    assert read["wav/b.wav"]["split"] == "unlabelled"
    assert manifest_labels(folder / "my.csv") == ["sad"]


@pytest.mark.parametrize(
    "header, rows, reason",
    [
        ("", ["a.wav,,s"], "row 2 has no emotion: give one"),
        ("", ["a.wav,n/a,s"], "row 2 has no emotion"),
        ("", ["a.wav,sad,s", "b.wav,sad,"], "row 3 has no speaker ('')"),
        ("", ["a.wav,sad,unknown"], "row 2 has no speaker ('unknown')"),
        ("", [",sad,s"], "row 2 has no file: give its path"),
        (
            "",
            ["a.wav,sad,s", "b.wav,sad,s", "a.wav,joy,s"],
            "row 4 has the file 'a.wav' of row 2 once more",
        ),
        (
            "",
            ["a.wav,sad,s", "./a.wav,sad,s"],
            "row 3 has the file './a.wav' of",
        ),
        ("", ["no.wav,sad,s"], "row 2: The audio file"),
        ("", ["a.wav,sad,s", "bad.wav,sad,s"], "row 3: The file"),
        ("", ["a.wav,sad,s", "b.wav,Sad,s"], "row 3 has the emotion 'Sad' and"),
        (",start,stop", ["a.wav,sad,s,0.5,0.5"], "row 2 means the seconds 0.5"),
        (",start,stop", ["a.wav,sad,s,0.7,0.5"], "row 2 means the seconds 0.7"),
        (",start,stop", ["a.wav,sad,s,0,1.02"], "to 1.02 of"),
        (",start,stop", ["a.wav,sad,s,1.5,"], "means the seconds 1.5 to 1 of"),
        (
            ",start",
            ["a.wav,sad,s,-1"],
            "row 2 has '-1' as start: give a number",
        ),
        (",start", ["a.wav,sad,s,soon"], "row 2 has 'soon' as start"),
        (",start", ["a.wav,sad,s,inf"], "row 2 has 'inf' as start"),
        (
            ",start,stop",
            ["a.wav,sad,s,0,0.5", "a.wav,sad,s,,"],
            "row 3 has the file",
        ),
        (
            ",start,stop",
            ["a.wav,sad,s,,", "a.wav,sad,s,0,0.5"],
            "row 3 has the file",
        ),
        (
            ",start,stop",
            ["a.wav,sad,s,0,0.5", "a.wav,joy,s,0.0,0.50"],
            "row 3 has the file",
        ),
        (
            ",split",
            ["a.wav,sad,s,held out"],
            "row 2 has 'held out' as split: give one of train, valid, test",
        ),
        (
            ",split",
            ["a.wav,sad,s,train", "b.wav,sad,s,test"],
            "row 3 has the speaker 's' in test, and row 2 in train: give every",
        ),
        (
            ",split",
            ["a.wav,sad,s,unlabelled", "b.wav,sad,s,dev"],
            "row 3 has the speaker 's' in valid, and row 2 in unlabelled",
        ),
        (",valence", ["a.wav,sad,s,high"], "row 2 has 'high' as valence"),
        (
            ",agreement",
            ["a.wav,sad,s,95"],
            "row 2 has '95' as agreement: give a",
        ),
        (",votes", ["a.wav,sad,s,sad++joy"], "row 2 has 'sad++joy' as votes"),
    ],
)
def test_a_wrong_row_is_named(folder, header, rows, reason):
    """One sentence, with the file and the row."""
    (folder / "wav" / "bad.wav").write_bytes(b"no audio at all")
    path = write(folder / "wav", *rows, header="file,emotion,speaker" + header)
    said = refusal(read_manifest, path)
    assert str(path) in said and reason in said, said


def test_labels_that_do_not_fit_are_refused(folder):
    """A word that is no class, with its row; a class that nobody has."""
    path = write(folder, "wav/a.wav,sad,s", "wav/b.wav,joy,s")
    said = refusal(read_manifest, path, ["sad"])
    assert "row 3 has the emotion 'joy', which is not among the labels" in said
    assert "--map joy=CLASS (or joy= to leave it out)" in said
    assert list(read_manifest(path, ["sad"], "joy=")) == ["wav/a.wav"]
    said = refusal(read_manifest, path, ["sad", "joy", "rage"])
    assert "no utterance of rage (there are joy, sad)" in said
    assert "--map is 'joy'" in refusal(read_manifest, path, None, "joy")
    assert refusal(read_manifest, path, "sad").startswith("--labels is 'sad'")


def test_a_manifest_is_needed(folder):
    """By its setting's name."""
    assert refusal(read_manifest, None).startswith("--manifest is None: give")
    assert refusal(read_manifest, 3).startswith("--manifest is 3: give")
    for name in ("no.csv", "no.json"):
        assert name in refusal(read_manifest, folder / name)
    said = refusal(read_manifest, write(folder, "a,b", header="file,emotion"))
    assert "row 1 has no column speaker (there are file, emotion)" in said


# JSON as SpeechBrain's recipes write it


def json_file(folder, entries):
    """A JSON manifest."""
    path = folder / "my.JSON"
    path.write_text(json.dumps(entries))
    return path


def test_the_json_of_speechbrain_is_read(folder):
    """`length`, `emo`, `spk_id`, {data_root}."""
    entry = {"wav": "{data_root}/wav/a.wav", "length": 1.0, "emo": "happy"}
    path = json_file(
        folder,
        {
            "Ses01": entry | {"spk_id": "1"},
            "b": entry | {"wav": "wav/b.wav", "emo": "xxx"},
        },
    )
    read = read_manifest(path, map="happy=hap,xxx=", data_root=str(folder))
    assert read == {
        "Ses01": {
            "wav": str(folder / "wav" / "a.wav"),
            "duration": 1.0,
            "emotion": "hap",
            "speaker": "1",
        }
    }
    assert manifest_labels(path) == ["happy", "xxx"]
    said = refusal(read_manifest, path)
    assert "entry 'Ses01' has the wav '{data_root}" in said


@pytest.mark.parametrize(
    "more, reason",
    [
        ({"emo": None}, "entry 'b' has no emotion"),
        ({"length": 3.0}, "entry 'b' has the duration 3 s, but"),
        ({"wav": "wav/a.wav"}, "entry 'b' has the file"),
        ({"wav": "wav/no.wav"}, "entry 'b': The audio file"),
        ({"emo": "Sad"}, "entry 'b' has the emotion 'Sad' and entry 'a' 'sad'"),
        ({"split": "half"}, "entry 'b' has 'half' as split"),
        ({"split": "test"}, "entry 'b' has the speaker 's' in test, and entry"),
        (
            {"channel": "left"},
            "entry 'b' has \"left\" as 'channel': give a channel's number",
        ),
    ],
)
def test_a_wrong_entry_is_named(folder, more, reason):
    """As a row is."""
    entry = {"wav": "wav/a.wav", "length": 1.0, "emo": "sad", "speaker": "s"}
    entry |= {"split": "train"}
    other = entry | {"wav": "wav/b.wav"} | more
    said = refusal(read_manifest, json_file(folder, {"a": entry, "b": other}))
    assert reason in said and "my.JSON" in said, said


def test_columns_are_known_to_nobody_else(folder):
    """A column of one's own never takes the place of a key of an entry."""
    header = "file,emotion,speaker,wave,duration,utterance,speed"
    path = write(folder, "wav/a.wav,sad,s,w,9,u,2", header=header)
    [entry] = read_manifest(path).values()
    assert entry["duration"] == 1.0 and entry["wav"].endswith("wav/a.wav")
    assert not {"utterance", "speed"} & set(entry)
    assert entry["columns"]["duration"] == "9"
    assert os.path.exists(entry["wav"])
