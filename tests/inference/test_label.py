"""The command: labelled, killed, edited, given again."""

import csv
import json
import os
import random
import time

import numpy as np
import pytest
import soundfile
import torch

from speechbrain_ser.inference.arguments import parse
from speechbrain_ser.inference.label import main
from speechbrain_ser.inference.recognizer import EmotionRecognizer
from speechbrain_ser.utils.errors import InputError
from tests import processes
from tests.inference.fake import Fake, command, noise


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """Eight recordings, one of them bad; the command runs beside them."""
    monkeypatch.setenv("SPEECHBRAIN_SER_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for i in range(7):
        folder = tmp_path / "audio" / "ab"[i % 2]
        noise(folder / f"{i}.wav", 0.1 + i / 20, seed=i, size=0.02 * (i + 1))
    (tmp_path / "audio" / "bad.wav").write_text("no sound")
    return tmp_path


class Runs:
    """Runs the command on a model that counts."""

    def __init__(self, **how):
        self.how = how
        self.fake = None

    def __call__(self, *words, code=1):
        """Returns how many the model was asked for."""
        self.fake = None
        assert main([str(word) for word in words], self.load) == code
        return self.fake and sum(self.fake.sizes)

    def load(self, options):
        """The model."""
        self.fake = Fake(**self.how)
        return self.fake


def rows(path):
    """The rows of a CSV."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_several_formats_in_one_run(corpus, capsys):
    """The same rows, sorted by path; the reasons; the screen."""
    assert Runs()("audio", "--csv", "o.csv", "--json", "o.jsonl") == 7
    table = rows("o.csv")
    names = [row["file"] for row in table]
    assert names == sorted(names) and names[-1] == "audio/bad.wav"
    assert "not audio" in table[-1]["error"]
    lines = [json.loads(line) for line in open("o.jsonl", encoding="utf-8")]
    for row, line in zip(table, lines):
        held = {name: value for name, value in row.items() if value}
        assert held == {name: str(value) for name, value in line.items()}
    said = capsys.readouterr().out
    assert "7 of 8 recordings labelled" in said and "1 failed" in said
    assert "failed: audio/bad.wav:" in said
    assert said.count("audio/a/0.wav") == 1


def test_another_format_computes_nothing(corpus, capsys):
    """Nor does another temperature, a part of the list, or a bad file."""
    runs = Runs()
    assert runs("audio", "--csv", "o.csv") == 7
    assert runs("audio", "--json", "o.jsonl", "--min_confidence", "0.99") == 0
    assert "coverage" in capsys.readouterr().out
    assert runs("audio/a", "--temperature", "2", code=0) == 0
    assert runs.fake.framed == 0
    assert runs("audio", "--csv", "p.csv") == 0
    assert open("o.csv").read() == open("p.csv").read()
    assert runs("audio", "--again") == 7
    assert runs("audio", "--no_journal") == 7
    assert runs("audio", "--journal", "elsewhere") == 7
    assert runs("audio", "--journal", "elsewhere") == 0
    runs.how["digest"] = "e" * 64
    assert runs("audio") == 7


def test_an_edited_file_is_done_again(corpus):
    """With its batch; a mended one is labelled, a new one too."""
    runs = Runs()
    assert runs("audio", "--csv", "o.csv") == 7
    before = rows("o.csv")
    noise(corpus / "audio" / "a" / "2.wav", 0.2, seed=9, size=0.2)
    assert runs("audio", "--csv", "o.csv") == 4
    after = rows("o.csv")
    changed = [b["file"] for a, b in zip(before, after) if a != b]
    assert changed == ["audio/a/2.wav"]
    noise(corpus / "audio" / "bad.wav", 0.2)
    assert runs("audio", "--csv", "o.csv", code=0) == 4
    assert rows("o.csv")[-1]["label"]


def test_a_journal_of_other_classes_is_not_taken(corpus):
    """As somebody may have edited it."""
    runs = Runs()
    assert runs("audio/a", "--journal", "j", code=0) == 4
    (path,) = (corpus / "j").iterdir()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[1]["posterior"] = [1.0]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert runs("audio/a", "--journal", "j", code=0) == 4
    assert runs("audio/a", "--journal", "j", code=0) == 0


def test_errors_of_reading_are_kept_and_tried_again(corpus):
    """As soon as the file changes, or by --again."""
    path = corpus / "audio" / "cut.flac"
    soundfile.write(path, np.random.default_rng(0).normal(size=30000), 16000)
    data = bytearray(path.read_bytes())
    # in the middle: header, glance and end are whole
    data[len(data) // 4 : len(data) // 4 + 3000] = bytes(3000)
    path.write_bytes(data)
    runs = Runs()
    asked = runs("audio/cut.flac", "audio/a", "--csv", "o.csv")
    error = rows("o.csv")[0]["error"]
    assert "cut.flac" in error and asked == 4
    assert runs("audio/cut.flac", "audio/a", "--csv", "p.csv") == 0
    assert rows("p.csv")[0]["error"] == error
    noise(path, 0.3)
    assert runs("audio/cut.flac", "--csv", "p.csv", code=0) == 1


def test_the_order_is_that_of_the_words(corpus):
    """Whatever is computed first."""
    words = ["audio/b/5.wav", "audio/bad.wav", "audio/a/0.wav", "audio/b/1.wav"]
    Runs()(*words, "--csv", "o.csv")
    assert [row["file"] for row in rows("o.csv")] == words


def test_a_dash_prints_the_table_alone(corpus, capsys):
    """The rest goes where errors go."""
    Runs()("audio", "--csv", "-")
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 9 and out.startswith("file,label,")
    assert "7 of 8 recordings labelled" in err
    assert not os.path.exists("-.settings.json")


def test_settings_are_saved_and_given_again(corpus, capsys):
    """Words win; the same settings are saved again."""
    words = ["audio/a", "--model", "m", "--min_confidence", "0.5"]
    words += ["--temperature", "2", "--csv", "o.csv", "--no_journal"]
    words += ["--channel", "1", "--speakers", "no", "--", "-x.wav"]
    noise(corpus / "-x.wav", 0.2)
    Runs()(*words, code=0)
    saved = json.load(open("o.csv.settings.json"))
    assert saved == {
        "paths": ["audio/a", "-x.wav"],
        "model": "m",
        "csv": "o.csv",
        "channel": 1,
        "min_confidence": 0.5,
        "temperature": 2.0,
        "speakers": "no",
        "no_journal": True,
    }
    first = open("o.csv").read()
    Runs()("--settings", "o.csv.settings.json", "--csv", "p.csv", code=0)
    assert open("p.csv").read() == first
    assert json.load(open("p.csv.settings.json")) == saved | {"csv": "p.csv"}
    options = parse(
        ["--settings", "o.csv.settings.json", "b", "--channel", "2"]
    )
    assert (options.paths, options.channel) == (["b"], 2)
    assert (options.temperature, options.again) == (2.0, False)


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"paths": ["a"], "colour": 1}, "holds colour"),
        ({"settings": "x"}, "holds settings"),
        ([1], "holds no settings"),
        ({"paths": "a"}, "'a' as paths"),
        ({"paths": [1]}, "as paths"),
        ({"temperature": -1}, "no number above 0"),
        ({"temperature": True}, "True as temperature"),
        ({"no_journal": "yes"}, "'yes' as no_journal"),
        ({"speakers": "each"}, "invalid choice"),
        ({"channel": 1.5}, "no whole number"),
        ("{", "is no JSON"),
        (None, "can't be read"),
    ],
)
def test_bad_settings_are_refused(tmp_path, capsys, held, said):
    """As bad words are: by the file, before anything else."""
    path = tmp_path / "s.json"
    if held is not None:
        path.write_text(held if held == "{" else json.dumps(held))
    with pytest.raises(SystemExit) as stop:
        parse(["--settings", str(path)])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--channel", "0"], "no whole number from 1"),
        (["--min_confidence", "1.5"], "no number from 0 to 1"),
        (["--min_confidence", "nan"], "no number from 0 to 1"),
        (["--temperature", "0"], "no number above 0"),
        (["--batch_size", "-1"], "no whole number"),
        (["--colour", "1"], "unrecognized"),
        (["--mod", "1"], "unrecognized"),
    ],
)
def test_bad_words_are_refused(capsys, words, said):
    """argparse's way, exit code 2."""
    with pytest.raises(SystemExit) as stop:
        parse(["a.wav", *words])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_nothing_is_done_for_what_can_not_be(corpus, capsys):
    """Exit code 2 and a sentence; the model is not even loaded."""
    runs = Runs()
    assert runs("audio", "--csv", "no/o.csv", code=2) is None
    assert runs("empty", code=1) == 0  # a row: there is no such file
    os.mkdir("nothing")
    assert runs("nothing", code=2) is None
    assert runs(code=2) is None
    assert runs("audio", "--speakers", "column", code=2) is None
    said = capsys.readouterr().err
    assert said.count("error: ") == 4 and "Traceback" not in said
    assert "needs a speaker of" in said
    assert not os.path.exists("o.csv")


def test_without_a_model_it_is_said(corpus, capsys, monkeypatch):
    """Where there is no ready one."""
    monkeypatch.setattr("speechbrain_ser.inference.label.READY", "/no/where")
    assert main(["audio"]) == 2
    assert "give --model" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_said(corpus, capsys, model_folder):
    """Before anything is computed; as is one whose memory is full."""
    words = ["audio", "--model", model_folder, "--device"]
    for device in ("gpu", "cuda:99", "meta"):
        assert main([*words, device]) == 2
        assert f"--device is {device}" in capsys.readouterr().err

    class Full(Fake):
        """Takes two at most."""

        def classify(self, frames, statistics=None):
            if len(frames) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return super().classify(frames, statistics)

    assert main(["audio"], lambda options: Full()) == 2
    assert "give a smaller --batch_size" in capsys.readouterr().err
    assert main(["audio", "--batch_size", "2"], lambda options: Full()) == 1


def test_with_a_real_model(corpus, capsys, model_folder):
    """From its folder; what it gives is what Python gives."""
    words = ["audio/a", "--model", model_folder, "--device", "cpu"]
    assert main([*words, "--json", "o.jsonl"]) == 0
    recognizer = EmotionRecognizer.from_folder(model_folder, device="cpu")
    for line in open("o.jsonl", encoding="utf-8"):
        row = json.loads(line)
        outcome = recognizer.label(row["file"])
        assert row["label"] == outcome.label
        for word, value in outcome.posterior.items():
            assert abs(row[f"posterior_{word}"] - value) < 6e-5
    assert main([*words, "--speakers", "all"]) in (0, 2)


def test_speakers_are_told_apart_as_asked(corpus):
    """By folder, by column, all as one; another way is another journal."""
    runs = Runs()
    assert runs("audio/a", "audio/b", "--csv", "no.csv", code=0) == 7
    made = {"no": open("no.csv").read()}
    for way in ("folder", "all"):
        out = ["--csv", f"{way}.csv", "--speakers", way]
        assert runs("audio/a", "audio/b", *out, code=0) == 7
        assert runs("audio/a", "audio/b", *out, code=0) == 0
        made[way] = open(f"{way}.csv").read()
    assert len(set(made.values())) == 3
    with open("t.csv", "w") as file:
        file.write("file,speaker\n")
        for name in ("audio/a/0.wav", "audio/a/2.wav", "audio/b/1.wav"):
            file.write(f"{name},{name[6]}\n")
    out = ["--csv", "column.csv", "--speakers", "column"]
    assert runs("t.csv", *out, code=0) == 3
    # a speaker of whom less is there has other statistics
    some = "audio/b/1.wav", "audio/b/3.wav"
    assert runs(*some, "--speakers", "folder", code=0) == 2
    assert runs(*some, "audio/b", "--speakers", "folder", code=0) == 0
    own = Runs(by="speaker")
    assert own("t.csv", "--csv", "own.csv", code=0) == 0  # as column
    assert open("own.csv").read() == open("column.csv").read()
    assert own("audio", code=2) == 0
    assert own("t.csv", "--speakers", "no", code=2) == 0
    fixed = Runs(can_standardise=False)
    assert fixed("audio", "--speakers", "all", code=2) == 0


def test_what_shares_a_batch_counts_where_padding_matters(corpus):
    """Then a file more is another plan, and nothing is taken from before."""
    runs = Runs(mates=True)
    assert runs("audio/a", code=0) == 4
    assert runs("audio/a", code=0) == 0
    assert runs("audio") == 7
    assert Runs(mates=True)("audio", "--batch_size", "2") == 7


def test_remarks_are_made_of_all(corpus, capsys):
    """Said once, whether computed now or before."""
    noise(corpus / "audio" / "c" / "s.wav", 0.3, 8000, channels=2)
    for _ in range(2):
        Runs()("audio", "--language", "pl")
        said = capsys.readouterr().out
        assert said.count("1 of 8 has several channels") == 1
        assert said.count("1 of 8 has 8000 Hz") == 1
        assert said.count("8 of 8 are said to be pl") == 1


def big_corpus(folder):
    """Forty files of which five are bad, each in its way; returns it."""
    random.seed(3)
    for i in range(35):
        seconds = 0.05 + random.random() / 2
        noise(folder / f"{i:02}.wav", seconds, seed=i, size=0.01 * (i % 9 + 1))
    (folder / "05 bad.wav").touch()
    (folder / "15 bad.wav").write_text("no sound")
    data = (folder / "03.wav").read_bytes()
    (folder / "20 bad.wav").write_bytes(data[:-100])
    soundfile.write(folder / "25 bad.wav", np.zeros(9000), 16000)
    noise(folder / "34 bad.wav", 0.005)
    return folder


def test_killed_at_random_it_makes_the_same_table(tmp_path):
    """Byte for byte, with the reasons; what was done is not done again."""
    big_corpus(tmp_path / "audio")
    random.seed(time.time_ns())
    kills = sorted(random.sample(range(1, 25), 4))
    words = ["audio", "--csv", "o.csv", "--json", "o.jsonl"]
    journal = tmp_path / "journal"
    for least in kills:
        more = [*words, "--journal", str(journal)]
        child = processes.start(command, more, "train", 0.08, cwd=tmp_path)
        until = time.time() + 60
        while lines_of(journal) < least and time.time() < until:
            assert child.returncode is None, child.stderr
            time.sleep(0.002)
        child.kill()
        assert child.returncode < 0, "it was over before it was killed"
        assert not (tmp_path / "o.csv").exists()
    done = lines_of(journal)
    last = processes.run(
        command, [*words, "--journal", str(journal)], cwd=tmp_path
    )
    assert last.returncode == 1, last.stderr
    assert lines_of(journal) == 35 > done >= kills[-1]
    made = [(tmp_path / name).read_bytes() for name in words[2::2]]
    whole = processes.run(command, [*words, "--no_journal"], cwd=tmp_path)
    assert whole.returncode == 1, whole.stderr
    assert made == [(tmp_path / name).read_bytes() for name in words[2::2]]
    errors = [row["error"] for row in rows(tmp_path / "o.csv") if row["error"]]
    assert len(errors) == 5 and len(set(errors)) == 5, kills
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [
        "audio",
        "journal",
        "o.csv",
        "o.csv.settings.json",
        "o.jsonl",
    ]


def lines_of(folder):
    """How many lines a journal has."""
    return sum(
        path.read_bytes().count(b"\n") for path in folder.glob("*.jsonl")
    )


def test_interrupted_it_says_that_it_goes_on(tmp_path, monkeypatch, capsys):
    """One line, exit code 130; then it goes on."""
    monkeypatch.setenv("SPEECHBRAIN_SER_CACHE", str(tmp_path / "cache"))
    big_corpus(tmp_path / "audio")

    class Interrupted(Fake):
        """Ctrl-C comes in the third batch."""

        def classify(self, frames, statistics=None):
            if len(self.sizes) == 3:
                raise KeyboardInterrupt
            return super().classify(frames, statistics)

    words = [str(tmp_path / "audio"), "--csv", str(tmp_path / "o.csv")]
    assert main(words, lambda options: Interrupted()) == 130
    said = capsys.readouterr().err
    assert said.strip() == "stopped; the same command goes on from here"
    assert not (tmp_path / "o.csv").exists()
    runs = Runs()
    assert runs(*words) == 35 - 12


def test_two_at_once_make_the_same(tmp_path):
    """On one journal, and on one output."""
    big_corpus(tmp_path / "audio")
    words = ["audio", "--csv", "o.csv", "--journal", "journal"]
    both = [
        processes.start(command, words, "train", 0.01, cwd=tmp_path)
        for _ in range(2)
    ]
    for child in both:
        assert child.wait().returncode == 1, child.stderr
    made = (tmp_path / "o.csv").read_bytes()
    again = processes.run(command, words, cwd=tmp_path)
    assert "all of it before" in again.stdout
    assert (tmp_path / "o.csv").read_bytes() == made
    assert len(made.splitlines()) == 41


def test_who_says_too_little_is_said():
    """Statistics of two utterances are no speaker's; with ten nothing is said."""
    from speechbrain_ser.inference.spoken import few_spoken

    assert few_spoken(["a"] * 10 + ["b"] * 12) is None
    assert "2 of 3 speakers have fewer" in few_spoken(["a"] * 10 + ["b", "c"])


def test_a_name_with_a_dash_is_told_where_to_go(tmp_path, monkeypatch, capsys):
    """Behind --, with the command as it would be typed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-dash.wav").touch()
    with pytest.raises(SystemExit):
        parse(["-dash.wav"])
    assert "-- -dash.wav" in capsys.readouterr().err
    assert parse(["--", "-dash.wav"]).paths == ["-dash.wav"]


def test_a_table_says_who_speaks(tmp_path):
    """Where a table names speakers, they are a column."""
    from speechbrain_ser.inference.journal import Said
    from speechbrain_ser.inference.rows import Rows
    from speechbrain_ser.inference.speech import Speech

    told = [Speech("a.wav", speaker="anna"), Speech("b.wav")]
    made = Rows(Fake(), told, 1.0)
    said = Said([0.2, 0.7, 0.1], {"arousal": 0.5})
    rows = [made.make(each, 1.0, said) for each in told]
    assert [row["speaker"] for row in rows] == ["anna", None]
    assert "speaker" not in Rows(Fake(), told[1:], 1.0).make(told[1], 1.0, said)


@pytest.mark.parametrize("words", [["--csv", "o.jsonl"], ["--json", "o.csv"]])
def test_an_output_is_what_its_name_says(words, tmp_path):
    """Or an earlier one of the other kind would be lost."""
    from speechbrain_ser.inference.outputs import check_outputs

    outputs = {words[0][2:]: str(tmp_path / words[1])}
    with pytest.raises(InputError, match="what its name says"):
        check_outputs(outputs, [])
