"""Reading, writing, shortening and counting annotations."""

import json

import numpy as np
import pytest
import soundfile

from speechbrain_ser.corpora.annotations import (
    MAY_BE_MISSING,
    class_table,
    limit_duration,
    read_annotation,
    write_annotation,
)
from speechbrain_ser.utils.errors import InputError

ENTRY = {"wav": "/data/a.wav", "duration": 2.5, "emotion": "sad"}
FULL = {
    **ENTRY,
    "start": 0,
    "stop": 40000,
    "speaker": "Ses01_F",
    "gender": "F",
    "session": 1,
    "votes": [["sad"], ["sad", "neu"]],
    "valence": 2,
    "arousal": 2.5,
    "dominance": 3.0,
    "transcript": "anything of the user's own",
}


def save(path, value):
    """Writes JSON and returns its path."""
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return str(path)


def refusal(path, **options):
    """The sentence with which a file is refused."""
    with pytest.raises(InputError) as error:
        read_annotation(path, **options)
    message = str(error.value)
    assert str(path) in message
    assert "\n" not in message and message.endswith(".")
    return message


def test_reads_what_was_written(tmp_path):
    """Every key comes back as it was."""
    path = str(tmp_path / "new" / "a.json")
    write_annotation(path, {"ü": FULL, "b": ENTRY})
    assert read_annotation(path) == {"ü": FULL, "b": ENTRY}


def test_a_failed_write_leaves_the_old_file(tmp_path):
    """Whole or not at all."""
    path = save(tmp_path / "a.json", {"a": ENTRY})
    with pytest.raises(TypeError):
        write_annotation(path, {"a": {**ENTRY, "wav": object()}})
    assert read_annotation(path) == {"a": ENTRY}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_relative_paths_start_at_the_file(tmp_path, monkeypatch):
    """Wherever the command runs."""
    (tmp_path / "lists").mkdir()
    save(tmp_path / "lists" / "a.json", {"a": {**ENTRY, "wav": "../w/a.wav"}})
    monkeypatch.chdir(tmp_path)
    for path in ["lists/a.json", str(tmp_path / "lists" / "a.json")]:
        assert read_annotation(path)["a"]["wav"] == str(
            tmp_path / "w" / "a.wav"
        )


def test_data_root(tmp_path):
    """SpeechBrain's placeholder."""
    path = save(tmp_path / "a.json", {"a": {**ENTRY, "wav": "{data_root}/a"}})
    assert read_annotation(path, data_root="/corpus")["a"]["wav"] == "/corpus/a"
    message = refusal(path)
    assert "entry 'a'" in message and "folder that holds the audio" in message


def test_keys_of_speechbrains_recipes(tmp_path):
    """`length`, `emo`, `spk_id`; the package's own come first."""
    entry = {"wav": "/a.wav", "length": 2.5, "emo": "sad", "spk_id": "s"}
    path = save(tmp_path / "a.json", {"a": entry, "b": entry | ENTRY})
    expected = {"wav": "/a.wav", "duration": 2.5, "emotion": "sad"}
    read = read_annotation(path)
    assert read["a"] == expected | {"speaker": "s"}
    wav = read["b"].pop("wav")
    assert wav.endswith(ENTRY["wav"])
    assert read["b"] == {k: v for k, v in ENTRY.items() if k != "wav"} | {
        "speaker": "s"
    }


def test_a_channel_is_a_number_or_mixed(tmp_path):
    """Counted from 1; no other word."""
    for value in ("mix", 1, 12):
        path = save(tmp_path / "a.json", {"a": ENTRY | {"channel": value}})
        assert read_annotation(path)["a"]["channel"] == value
    for value in ("left", 0, None, -1, 1.0, True, "1", [1]):
        path = save(tmp_path / "a.json", {"a": ENTRY | {"channel": value}})
        assert "as 'channel': give a channel's number, fr" in refusal(path)


def test_missing_file(tmp_path):
    """The mend: a path."""
    assert "is missing: give the path" in refusal(str(tmp_path / "no.json"))


def test_not_json(tmp_path):
    """The line is named."""
    path = save(tmp_path / "a.json", '{"a": {\n"wav": "a.wav",\n}}')
    assert "is not JSON: correct line 3" in refusal(path)


def test_not_text(tmp_path):
    """An audio file in place of the annotation."""
    (tmp_path / "a.json").write_bytes(b"RIFF\xff\xfe\x80")
    assert "cannot be read" in refusal(str(tmp_path / "a.json"))


def test_an_id_named_twice(tmp_path):
    """JSON would silently keep the last."""
    text = json.dumps({"a": ENTRY})
    path = save(tmp_path / "a.json", text[:-1] + "," + text[1:])
    assert "names 'a' twice" in refusal(path)


@pytest.mark.parametrize("value", [[ENTRY], "text", 3, None])
def test_not_an_object(tmp_path, value):
    """The form is shown."""
    path = save(tmp_path / "a.json", json.dumps(value))
    assert "is no JSON object: make it" in refusal(path)


def test_no_entry(tmp_path):
    """An empty object."""
    assert "holds no entry" in refusal(save(tmp_path / "a.json", {}))


@pytest.mark.parametrize("value", ["a.wav", [1], None])
def test_an_entry_is_not_an_object(tmp_path, value):
    """The entry is named."""
    path = save(tmp_path / "a.json", {"good": ENTRY, "bad": value})
    message = refusal(path)
    assert "entry 'bad'" in message
    assert "make it an object with wav, duration and emotion" in message


@pytest.mark.parametrize("key", ["wav", "duration", "emotion"])
def test_a_missing_key(tmp_path, key):
    """The entry and the key are named."""
    entry = {name: value for name, value in ENTRY.items() if name != key}
    path = save(tmp_path / "a.json", {"good": ENTRY, "bad": entry})
    assert f"entry 'bad' lacks '{key}': add it." in refusal(path)


@pytest.mark.parametrize(
    "key, value, kind",
    [
        ("wav", 3, "a text"),
        ("wav", "", "a text"),
        ("emotion", 2, "a text"),
        ("speaker", 8, "a text"),
        ("gender", ["F"], "a text"),
        ("duration", "2.5", "a finite number"),
        ("duration", True, "a finite number"),
        ("duration", float("nan"), "a finite number"),
        ("valence", "high", "a finite number"),
        ("dominance", "low", "a finite number"),
        ("start", 0.5, "a whole number of samples"),
        ("start", -1, "a whole number of samples"),
        ("stop", "end", "a whole number of samples"),
        ("session", 1.5, "a text or a whole number"),
        ("votes", ["neu", "sad"], "a list of each annotator's labels"),
        ("votes", [[1]], "a list of each annotator's labels"),
        ("votes", "neu", "a list of each annotator's labels"),
    ],
)
def test_a_value_of_the_wrong_kind(tmp_path, key, value, kind):
    """The entry, the value, the key and what to give."""
    path = save(tmp_path / "a.json", {"bad": {**FULL, key: value}})
    message = refusal(path)
    assert f"entry 'bad' has {json.dumps(value)} as '{key}'" in message
    assert f"give {kind}" in message
    required = key in ("wav", "duration", "emotion")
    assert ("leave the key out" in message) is not required


MISSING = [None, float("nan"), "", " ", "-", "--", "?", "n/a", "N/A", "NaN"]
MISSING += ["na", "None", "null", "UNKNOWN", " unknown ", "<unknown>"]


@pytest.mark.parametrize("word", MISSING, ids=repr)
def test_words_for_missing_are_no_class(tmp_path, word):
    """For what may be missing alike, and no annotator's vote."""
    for key in MAY_BE_MISSING:
        path = save(tmp_path / "a.json", {"a": {**FULL, key: word}})
        entry = read_annotation(path, labelled=False)["a"]
        assert entry == {k: v for k, v in FULL.items() if k != key}
    if isinstance(word, str):
        votes = [["sad"], [word], ["sad", word]]
        path = save(tmp_path / "a.json", {"a": {**FULL, "votes": votes}})
        assert read_annotation(path)["a"]["votes"] == [["sad"], [], ["sad"]]


def test_a_required_emotion_that_is_missing(tmp_path):
    """The word is no label: the row is named."""
    for word in (None, "unknown"):
        path = save(tmp_path / "a.json", {"bad": {**ENTRY, "emotion": word}})
        message = refusal(path)
        assert f"entry 'bad' has {json.dumps(word)} as 'emotion'" in message
        assert "says that it is not known: give it, or take" in message


@pytest.mark.parametrize("word", ["neu", "unknowns", "Nan Li", "-1", "0"])
def test_other_words_stay(tmp_path, word):
    """Also those that only look like one."""
    path = save(tmp_path / "a.json", {"a": {**FULL, "speaker": word}})
    assert read_annotation(path)["a"]["speaker"] == word


@pytest.mark.parametrize("duration", [0, -1.5])
def test_a_duration_that_is_not_positive(tmp_path, duration):
    """The value is shown."""
    path = save(tmp_path / "a.json", {"bad": {**ENTRY, "duration": duration}})
    assert f"'bad' has the duration {duration}" in refusal(path)


def test_a_stop_before_its_start(tmp_path):
    """SpeechBrain would read to the end of the file when they are equal."""
    path = save(tmp_path / "a.json", {"bad": {**ENTRY, "start": 5, "stop": 5}})
    assert "stops at sample 5 but starts at 5" in refusal(path)


def long_entry(seconds, start=0, rate=16000):
    """An entry of some length."""
    length = round(seconds * rate)
    return {
        **ENTRY,
        "start": start,
        "stop": start + length,
        "duration": length / rate,
    }


@pytest.mark.parametrize("limit", [None, 0, 0.0, 10.0])
@pytest.mark.parametrize("how", ["cut", "split"])
def test_no_limit_changes_nothing(limit, how):
    """None and 0 are no limit; what is exactly as long stays."""
    annotation = {"a": long_entry(10.0)}
    assert limit_duration(annotation, limit, how) == (annotation, 0)


def test_cut_keeps_the_middle():
    """As much is lost before as behind."""
    annotation = {"a": long_entry(3.0, start=1000), "b": long_entry(1.0)}
    limited, n_changed = limit_duration(annotation, 2.0)
    assert n_changed == 1
    assert limited["a"] == {
        **annotation["a"],
        "start": 9000,
        "stop": 41000,
        "duration": 2.0,
    }
    assert limited["b"] == annotation["b"]
    assert annotation["a"]["duration"] == 3.0


@pytest.mark.parametrize("seconds", [2.0001, 4.0, 5.0, 7.77])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_split_gives_equal_consecutive_pieces(seconds, rate):
    """Nothing lost or doubled, none too long, lengths within one sample."""
    annotation = {"a": long_entry(seconds, 500, rate), "b": long_entry(1.0)}
    limited, n_changed = limit_duration(annotation, 2.0, "split")
    assert n_changed == 1
    pieces = [limited[key] for key in limited if key != "b"]
    assert list(limited)[:-1] == [f"a-{i + 1}" for i in range(len(pieces))]
    assert len(pieces) == int(np.ceil(seconds / 2))
    assert pieces[0]["start"] == 500
    assert pieces[-1]["stop"] == annotation["a"]["stop"]
    for piece, following in zip(pieces, pieces[1:]):
        assert piece["stop"] == following["start"]
    lengths = [piece["stop"] - piece["start"] for piece in pieces]
    assert max(lengths) - min(lengths) <= 1
    for piece, length in zip(pieces, lengths):
        assert piece["duration"] == length / rate <= 2.0
        assert piece["utterance"] == "a"
        assert piece["emotion"] == "sad"
    assert limited["b"] == annotation["b"]


def test_splitting_twice_remembers_the_original():
    """So that no piece of an utterance is parted from the others."""
    once, _ = limit_duration({"a": long_entry(8.0)}, 4.0, "split")
    twice, n_changed = limit_duration(once, 2.0, "split")
    assert n_changed == 2
    assert list(twice) == ["a-1-1", "a-1-2", "a-2-1", "a-2-2"]
    assert {entry["utterance"] for entry in twice.values()} == {"a"}


def test_the_whole_file_is_limited(tmp_path):
    """Without start and stop the file says the rate."""
    path = str(tmp_path / "a.wav")
    soundfile.write(path, np.full(3 * 8000, 0.1), 8000)
    entry = {"wav": path, "duration": 3.0, "emotion": "sad"}
    limited, _ = limit_duration({"a": entry}, 2.0)
    assert limited["a"] == {
        **entry,
        "start": 4000,
        "stop": 20000,
        "duration": 2.0,
    }


@pytest.mark.parametrize("limit", [-1, "5", float("nan"), [5]])
def test_a_bad_limit(limit):
    """The setting and the mend."""
    with pytest.raises(InputError, match="max_duration is .*: set it to"):
        limit_duration({"a": long_entry(3.0)}, limit)


def test_a_limit_below_one_sample():
    """Nothing would be left."""
    with pytest.raises(InputError, match="shorter than one sample"):
        limit_duration({"a": long_entry(3.0)}, 1e-6, "split")


def test_a_bad_way():
    """Also when there is no limit."""
    with pytest.raises(InputError, match="how is 'drop': set it to 'cut'"):
        limit_duration({"a": long_entry(3.0)}, None, "drop")


def test_a_piece_never_replaces_an_entry():
    """An id that looks like a piece's."""
    annotation = {"a-2": long_entry(1.0), "a": long_entry(3.0)}
    with pytest.raises(InputError, match="'a-2', which exists already"):
        limit_duration(annotation, 2.0, "split")


def test_class_table():
    """Counts of each part and class, in columns that line up."""
    parts = {
        "train": {str(i): {"emotion": "sad"} for i in range(12)},
        "test": {"a": {"emotion": "neu"}, "b": {"emotion": "other"}},
    }
    assert class_table(parts, ["neu", "sad"]).split("\n") == [
        "part   neu  sad  all",
        "train    0   12   12",
        "test     1    0    2",
    ]


@pytest.mark.parametrize(
    "wav",
    ["audio\\a.wav", "C:\\corpus\\a.wav", "D:/a.wav", "{data_root}\\a.wav"],
)
def test_a_path_of_windows_is_named(wav, tmp_path):
    """With its entry and file; a file that is called so is taken."""
    path = tmp_path / "train.json"
    entry = {"wav": wav, "duration": 1.0, "emotion": "sad"}
    path.write_text(json.dumps({"utterance7": entry}))
    with pytest.raises(InputError, match="utterance7.*Windows.*with /") as said:
        read_annotation(path, data_root=tmp_path)
    assert str(path) in str(said.value) and wav in str(said.value)
    (tmp_path / "audio\\a.wav").touch()
    if wav == "audio\\a.wav":
        read_annotation(path)
