"""What is labelled: files, folders, lists and tables."""

import io
import os
import types

import pytest

from speechbrain_ser.inference.sources import gather
from speechbrain_ser.utils.errors import InputError

ODD = [
    "a b.wav",
    "a,b.wav",
    "#a.wav",
    "grün.wav",
    "😀.wav",
    "-a.wav",
    "'\".wav",
]


def touch(folder, *names):
    """Makes empty files; nothing is looked at here."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(found):
    """What the table calls it."""
    return [speech.name for speech in found.speech]


def test_odd_names_are_taken_as_they_stand(tmp_path, monkeypatch):
    """As words, in a folder, in a list, in a table."""
    touch(tmp_path / "audio", *ODD)
    monkeypatch.chdir(tmp_path / "audio")
    assert names(gather(ODD)) == ODD
    paths = {os.path.join("audio", name) for name in ODD}
    monkeypatch.chdir(tmp_path)
    assert set(names(gather(["audio"]))) == paths
    text = "".join(f"audio/{name}\r\n" for name in ODD) + "\n  \n"
    (tmp_path / "list.txt").write_text(text, encoding="utf-8-sig", newline="")
    monkeypatch.chdir("/")
    found = gather([], [str(tmp_path / "list.txt")])
    assert names(found) == [f"audio/{name}" for name in ODD]
    assert all(os.path.isfile(speech.path) for speech in found.speech)


def test_a_folder_is_read_with_those_below_it(tmp_path):
    """Sorted, without what is hidden and what is no audio, each once."""
    touch(tmp_path, "b/2.WAV", "a.mp3", "b/c/1.flac", "z.m4a", "b/read.me")
    touch(tmp_path, ".hidden.wav", ".git/x.wav", "__MACOSX/y.wav", "c.txt")
    os.symlink(tmp_path, tmp_path / "b" / "round")
    os.symlink(tmp_path / "b", tmp_path / "zz")
    found = gather([str(tmp_path)])
    wanted = ["a.mp3", "b/2.WAV", "b/c/1.flac", "z.m4a"]
    assert names(found) == [str(tmp_path / name) for name in wanted]
    assert found.others == 2


def test_the_same_is_one_row(tmp_path, monkeypatch):
    """However it is written; a part is something else than the whole."""
    touch(tmp_path, "a.wav", "b.wav")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("file,start,stop\na.wav,,\na.wav,1,2\n")
    found = gather(["b.wav", "./b.wav", "t.csv", "a.wav", str(tmp_path)])
    assert names(found) == ["b.wav", "a.wav", "a.wav"]
    assert found.twice == 4
    assert found.read == ["t.csv"]


def test_a_table_says_more(tmp_path):
    """Spans, channels, speakers and languages, in its own words."""
    touch(tmp_path, "a.wav")
    table = tmp_path / "t.csv"
    table.write_text(
        "Path;start;end;channel;spk;language;emotion\n"
        "a.wav;0,5;1,25;2;Ann;de-AT;sad\nb.wav;;;;n/a;;\n"
    )
    first, second = gather([str(table)], channel=1, language="pl").speech
    assert (first.start, first.stop, first.channel) == (0.5, 1.25, 2)
    assert (first.speaker, first.language) == ("Ann", "de-AT")
    assert first.path == str(tmp_path / "a.wav")
    assert (second.start, second.stop, second.channel) == (None, None, 1)
    assert (second.speaker, second.language) == (None, "pl")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,start\na.wav,soon\n", "row 2 has 'soon' as start"),
        ("file,start\na.wav,-1\n", "row 2 has '-1' as start"),
        ("file,channel\na.wav,0\n", "row 2 has '0' as channel"),
        ("file,channel\na.wav,left\n", "row 2 has 'left' as channel"),
        ("file,start\n,1\n", "row 2 has no file"),
        ("start,stop\n1,2\n", "no column file"),
        ("", "is empty"),
    ],
)
def test_a_bad_table_is_refused(tmp_path, text, said):
    """With its row."""
    path = tmp_path / "t.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        gather([str(path)])


def test_a_list_from_the_standard_input(tmp_path, monkeypatch):
    """Meant from here; a line that is no UTF-8 stays what it is."""
    touch(tmp_path, "d/b.wav")
    data = types.SimpleNamespace(buffer=io.BytesIO(b"a.wav\nd\ngr\xfcn.wav"))
    monkeypatch.setattr("sys.stdin", data)
    monkeypatch.chdir(tmp_path)
    found = gather([], ["-"])
    assert names(found) == ["a.wav", "d/b.wav", "gr\udcfcn.wav"]
    assert found.speech[0].path == str(tmp_path / "a.wav")


def test_nothing_is_one_sentence(tmp_path):
    """No word, an empty folder, no audio in it, a list that is not there."""
    with pytest.raises(InputError, match="nothing is given"):
        gather([])
    with pytest.raises(InputError, match="there is no audio in"):
        gather([str(tmp_path)])
    touch(tmp_path, "a.txt", "b.pdf")
    with pytest.raises(InputError, match="2 files have no name of audio"):
        gather([str(tmp_path)])
    with pytest.raises(InputError, match="can't be read.*one path a line"):
        gather([], [str(tmp_path / "gone.txt")])
    (tmp_path / "list.txt").write_text("\n\n")
    with pytest.raises(InputError, match="there is no audio in"):
        gather([], [str(tmp_path / "list.txt")])


@pytest.mark.skipif(os.name != "posix" or not os.geteuid(), reason="root may")
def test_a_folder_that_may_not_be_read(tmp_path):
    """Is said, with what is in the others."""
    touch(tmp_path, "a/1.wav")
    (tmp_path / "b").mkdir(mode=0)
    with pytest.raises(InputError, match="b' can't be read"):
        gather([str(tmp_path)])
