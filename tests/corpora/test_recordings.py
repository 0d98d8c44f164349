"""EMO-DB, RAVDESS and nEMO as they lie about: doubled, stereo, with others."""

import collections
import os

import numpy as np
import pytest
import soundfile
import torch

from speechbrain_ser.corpora import emodb, nemo, ravdess, recordings
from speechbrain_ser.corpora.emodb import read_emodb
from speechbrain_ser.corpora.nemo import read_nemo
from speechbrain_ser.corpora.ravdess import read_ravdess
from speechbrain_ser.utils import audio_files
from speechbrain_ser.utils.audio import load_audio
from speechbrain_ser.utils.errors import InputError
from tests.recipes.helpers import ROOT

SHARED = ROOT.parent / "shared" / "corpora"
READERS = {"emodb": read_emodb, "ravdess": read_ravdess, "nemo": read_nemo}
COUNTS = {
    "emodb": emodb.COUNTS,
    "ravdess": ravdess.COUNTS,
    "nemo": nemo.COUNTS,
}
# A file of each class that is read by default, and some of others.
NAMES = {
    "emodb": ["03a01Fa", "08a02Wb", "16b10N", "13a04Tc", "09a05La", "14b01Ed"],
    "ravdess": [
        "03-01-03-01-01-01-01",
        "03-01-05-02-02-02-24",
        "03-01-01-01-01-02-02",
        "03-01-04-01-01-01-11",
        "03-01-02-01-01-01-03",
        "03-01-08-02-01-01-04",
    ],
    "nemo": [
        "EB0_happiness_10",
        "MP0_anger_2",
        "KS0_neutral_90",
        "WR0_sadness_44",
        "EB0_fear_1",
        "IC0_surprise_3",
    ],
}


@pytest.fixture
def told(monkeypatch):
    """What is logged while recordings are found."""
    said = []

    def keep(message, *values):
        """Keeps a text."""
        said.append(message % values)

    monkeypatch.setattr(recordings.logger, "info", keep)
    return said


def write(path, seconds=0.1, rate=16000, channels=1, seed=0):
    """A file of noise, in folders that are made."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    noise = np.random.default_rng(seed).uniform(
        -0.5, 0.5, (round(seconds * rate), channels)
    )
    soundfile.write(path, noise, rate)
    return str(path)


def make(folder, corpus, suffix=".wav", below="a/b"):
    """The files of a corpus."""
    for name in NAMES[corpus]:
        write(folder / below / (name + suffix))
    return folder


def below(value):
    """The sentence that a call raises."""
    with pytest.raises(InputError) as error:
        value()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
@pytest.mark.parametrize("corpus", READERS)
def test_files_are_found_wherever_they_lie(tmp_path, corpus, suffix):
    """The four classes by default, the same ones from any place."""
    make(tmp_path, corpus, suffix)
    read = READERS[corpus](tmp_path)
    assert list(read) == sorted(NAMES[corpus][:4])
    emotions = {entry["emotion"] for entry in read.values()}
    assert emotions == set(recordings.FOUR)
    for key, entry in read.items():
        assert os.path.isabs(entry["wav"])
        assert os.path.basename(entry["wav"]) == key + suffix
        assert (entry["start"], entry["stop"]) == (0, 1600)
        assert entry["duration"] == 0.1 and "channel" not in entry
    for place in (tmp_path / "a", tmp_path / "a" / "b"):
        assert READERS[corpus](str(place)) == read
    assert read.odd == []


def test_what_the_names_say(tmp_path):
    """Every field of an entry, one of each corpus."""
    for corpus in READERS:
        make(tmp_path / corpus, corpus)
    more = {"wav", "start", "stop", "duration"}

    def facts(corpus, key):
        """An entry without its audio."""
        entry = READERS[corpus](tmp_path / corpus)[key]
        return {k: v for k, v in entry.items() if k not in more}

    assert facts("emodb", "03a01Fa") == {
        "emotion": "happiness",
        "speaker": "03",
        "gender": "M",
        "language": "de",
        "sentence": "a01",
    }
    assert facts("ravdess", "03-01-05-02-02-02-24") == {
        "emotion": "anger",
        "speaker": "24",
        "gender": "F",
        "language": "en",
        "intensity": "strong",
        "sentence": "02",
        "repetition": 2,
    }
    assert facts("nemo", "KS0_neutral_90") == {
        "emotion": "neutral",
        "speaker": "KS0",
        "gender": "M",
        "language": "pl",
        "sentence": "90",
    }


@pytest.mark.parametrize("corpus", READERS)
def test_labels_choose_the_classes(tmp_path, corpus):
    """Any of the corpus's; others are refused, and those that nobody has."""
    make(tmp_path, corpus)
    read, known = READERS[corpus], COUNTS[corpus]
    assert len(read(tmp_path, list(known))) == 6
    assert len(read(tmp_path, ["anger"])) == 1
    said = below(lambda: read(tmp_path, ["anger", "joy"]))
    assert said.startswith("--labels is ['anger', 'joy']: give words among")
    rare = next(w for w in known if w not in recordings.FOUR)
    folder = make(tmp_path / "x", corpus)
    for name in NAMES[corpus][4:]:
        os.remove(folder / "a" / "b" / f"{name}.wav")
    said = below(lambda: read(folder, [rare]))
    assert f"has no recording of {rare}: give other --labels" in said


@pytest.mark.parametrize("corpus", READERS)
def test_decoys_are_passed_over(tmp_path, corpus):
    """AppleDouble, hidden folders, other files, videos' names."""
    make(tmp_path, corpus)
    first = NAMES[corpus][0]
    before = READERS[corpus](tmp_path)
    for name in (
        f"._{first}.wav",
        f".git/{first}.wav",
        f"__MACOSX/{first}.wav",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no audio")
    (tmp_path / f"{first}.txt").write_text("no audio")
    write(tmp_path / f"{first}-copy.wav")
    write(tmp_path / "music.wav")
    assert READERS[corpus](tmp_path) == before


def test_songs_and_videos_are_left_out_and_said(tmp_path, told):
    """Channel 02, modalities 01 and 02."""
    make(tmp_path, "ravdess")
    for name in ("03-02-03", "03-02-05", "01-01-03", "02-01-04"):
        write(tmp_path / f"{name}-01-01-01-01.wav")
    read = read_ravdess(tmp_path)
    assert list(read) == sorted(NAMES["ravdess"][:4])
    assert f"'{tmp_path}': 2 songs, left out" in told
    assert any("2 recordings that are the sound of a video" in s for s in told)
    for name in NAMES["ravdess"]:
        os.remove(tmp_path / "a" / "b" / f"{name}.wav")
    said = below(lambda: read_ravdess(tmp_path))
    assert "holds no recording of RAVDESS (it has 4 other files" in said


@pytest.mark.parametrize("corpus", READERS)
def test_a_file_twice_counts_once(tmp_path, corpus, told):
    """The copy of the higher rate, wherever it lies; equal ones: the first."""
    make(tmp_path, corpus, below="z/first")
    low, equal = NAMES[corpus][:2]
    better = write(tmp_path / "b" / f"{low}.flac", rate=48000)
    worse = write(tmp_path / "b" / "c" / f"{low}.wav", rate=8000)
    first = write(tmp_path / "b" / f"{equal}.wav")
    read = READERS[corpus](tmp_path)
    assert len(read) == 4
    assert read[low]["wav"] == better and read[low]["stop"] == 4800
    assert read[low]["duration"] == 0.1
    assert read[equal]["wav"] == first
    assert any(s.startswith("2 recordings lie there several") for s in told)
    os.remove(better)
    open(better, "w").close()  # broken: the next best one
    assert READERS[corpus](tmp_path)[low]["wav"].endswith(f"first/{low}.wav")
    assert worse != read[low]["wav"]


def test_names_in_other_cases_are_the_same_recording(tmp_path):
    """EMO-DB's on a disk that knows capitals alone."""
    make(tmp_path, "emodb")
    write(tmp_path / "03A01FA.WAV")
    read = read_emodb(tmp_path)
    assert list(read) == sorted(NAMES["emodb"][:4])


def test_links_to_folders_are_followed_once(tmp_path):
    """A link to a disk; a link to the folder above ends nowhere."""
    make(tmp_path / "disk", "emodb")
    home = tmp_path / "home"
    home.mkdir()
    os.symlink(tmp_path / "disk", home / "corpus")
    os.symlink(home, home / "again")
    assert len(read_emodb(home)) == 4
    assert len(recordings.find_files(home)) == 6


@pytest.mark.parametrize("corpus", READERS)
def test_stereo_is_mixed_and_48_khz_resampled(tmp_path, corpus):
    """To what a mono file of 16 kHz gives."""
    make(tmp_path, corpus)
    key = NAMES[corpus][0]
    path = write(tmp_path / "a" / "b" / f"{key}.wav", 0.5, 48000, 2)
    entry = READERS[corpus](tmp_path)[key]
    assert entry["channel"] == "mix" and entry["stop"] == 24000
    assert entry["duration"] == 0.5
    both, _ = soundfile.read(path)
    mono = str(tmp_path / "mono.wav")
    soundfile.write(mono, both.mean(axis=1), 48000, subtype="FLOAT")
    signal = load_audio(entry)
    assert signal.shape == (8000,)
    torch.testing.assert_close(signal, load_audio({"wav": mono}))


@pytest.mark.parametrize("corpus", READERS)
def test_a_folder_without_recordings_is_refused(tmp_path, corpus):
    """Another corpus, nothing, no folder."""
    read = READERS[corpus]
    said = below(lambda: read(tmp_path))
    assert "(it has no audio): give the path of" in said
    other = next(name for name in READERS if name != corpus)
    make(tmp_path, other)
    assert "(it has 6 other files of audio)" in below(lambda: read(tmp_path))
    assert "is no folder" in below(lambda: read(tmp_path / "nowhere"))


@pytest.mark.parametrize("corpus", READERS)
def test_counts_that_differ_are_said_not_refused(tmp_path, corpus, logged):
    """With a table of all classes."""
    make(tmp_path, corpus)
    READERS[corpus](tmp_path)
    counts = COUNTS[corpus]
    [text] = [t for _, t in logged if "the release of" in t]
    assert f"has 6 recordings, the release of {recordings_name(corpus)}" in text
    assert f"has {sum(counts.values())}," in text
    assert len(text.splitlines()) == 2 + len(counts)


def recordings_name(corpus):
    """What a corpus is called."""
    return {"emodb": "EMO-DB", "ravdess": "RAVDESS", "nemo": "nEMO"}[corpus]


def test_few_broken_files_are_left_out_and_listed(tmp_path):
    """Up to five; more are refused."""
    folder = tmp_path / "wav"
    for version in "abcdefghijkl":
        write(folder / f"03a01W{version}.wav")
    for version in "abcde":
        (folder / f"03a01W{version}.wav").write_bytes(b"")
    read = read_emodb(tmp_path)
    assert len(read) == 7 and len(read.odd) == 5
    assert read.odd[0]["entry"] == "03a01Wa"
    (folder / "03a01Wf.wav").write_bytes(b"")
    assert "6 of 12 recordings of" in below(lambda: read_emodb(tmp_path))


def test_only_headers_are_read(tmp_path, monkeypatch):
    """No reader decodes; of copies, headers alone."""
    make(tmp_path, "emodb")
    make(tmp_path, "emodb", below="c")

    def fail(*args):
        """Is not called."""
        raise AssertionError

    monkeypatch.setattr(audio_files, "_inspect_decoding", fail)
    assert len(read_emodb(tmp_path)) == 4


# EMO-DB's listeners


@pytest.mark.parametrize("place", ["in", "beside", "below"])
@pytest.mark.parametrize("kind", ["csv", "txt"])
def test_agreement_is_read_where_it_lies(tmp_path, place, kind):
    """Ours with commas, the release's with blanks and decimal commas."""
    folder = make(tmp_path / "emodb", "emodb", below="wav")
    target = {"in": folder, "beside": tmp_path, "below": folder / "wav"}[place]
    if kind == "csv":
        rows = ["natural_pct,file,recognised_pct", "5,03a01Fa.flac,90.5"]
        (target / "agreement.csv").write_text("\n".join(rows + ["1,x.wav,3"]))
    else:
        rows = "Satz\terkannt\tnatürlich\n03a01Fa.wav  90,50 \xa0 75,00\n"
        (target / "erkennung.txt").write_text(rows, encoding="latin-1")
    read = read_emodb(folder)
    assert read["03a01Fa"]["agreement"] == 0.905
    assert "agreement" not in read["08a02Wb"]


def test_agreements_that_are_none_are_odd(tmp_path):
    """Taken as not known, and listed with their line."""
    make(tmp_path, "emodb")
    rows = "file,recognised_pct\n03a01Fa.wav,many\n08a02Wb.wav,95\n"
    (tmp_path / "agreement.csv").write_text("\ufeff" + rows, encoding="utf-8")
    read = read_emodb(tmp_path)
    assert "agreement" not in read["03a01Fa"]
    assert read["08a02Wb"]["agreement"] == 0.95
    assert [(row["entry"], row["value"]) for row in read.odd] == [
        ("line 2", "many")
    ]


def test_a_table_of_something_else_is_passed_over(tmp_path):
    """Beside the folder, with other columns or other names."""
    folder = make(tmp_path / "emodb", "emodb")
    (tmp_path / "agreement.csv").write_text("file,kappa\n03a01Fa.wav,0.4\n")
    assert "agreement" not in read_emodb(folder)["03a01Fa"]
    (folder / "a" / "agreement.csv").write_text(
        "file,recognised_pct\n03a01Fa.wav,80\n"
    )
    assert read_emodb(folder)["03a01Fa"]["agreement"] == 0.8


# nEMO's table


def test_genders_stand_in_the_table_or_are_known(tmp_path):
    """Blanks in front are nothing; a table of something else neither."""
    folder = make(tmp_path / "nemo", "nemo", below="samples")
    known = {e["speaker"]: e["gender"] for e in read_nemo(folder).values()}
    assert known == {"EB0": "F", "KS0": "M", "MP0": "M", "WR0": "M"}
    write(folder / "samples" / "XY0_anger_1.wav")
    assert "gender" not in read_nemo(folder)["XY0_anger_1"]
    header = (
        "file_id\temotion\traw_text\tnormalized_text\tspeaker_id\tgender\tage"
    )
    row = "XY0_anger_1.wav\tanger\tA\ta\t  XY0\tfemale\t27"
    (folder / "data.tsv").write_text(f"{header}\n{row}\n", encoding="utf-8")
    assert read_nemo(folder)["XY0_anger_1"]["gender"] == "F"
    (folder / "data.tsv").write_text("file\tspeaker\tgender\na\tEB0\tmale\n")
    assert read_nemo(folder)["EB0_happiness_10"]["gender"] == "F"


def test_surprised_is_surprise(tmp_path):
    """As some copies have it."""
    make(tmp_path, "nemo")
    write(tmp_path / "EB0_surprised_5.wav")
    read = read_nemo(tmp_path, ["surprise"])
    assert list(read) == ["EB0_surprised_5", "IC0_surprise_3"]


# The counts of the releases, and the copies at hand


def test_counts_of_the_releases():
    """As the papers have them."""
    assert sum(emodb.COUNTS.values()) == 535
    assert sum(ravdess.COUNTS.values()) == 1440
    assert sum(nemo.COUNTS.values()) == 4481
    assert sum(emodb.COUNTS[word] for word in recordings.FOUR) == 339


@pytest.mark.parametrize(
    "corpus, count, whole, speakers, women",
    [
        ("emodb", 339, 535, 10, 5),
        ("ravdess", 672, 1440, 24, 12),
        ("nemo", 1542, None, 9, 4),
    ],
)
def test_the_copies_at_hand(corpus, count, whole, speakers, women):
    """Their own counts, by class and speaker."""
    folder = SHARED / corpus
    if not folder.is_dir():
        pytest.skip(f"there is no copy of {corpus} here")
    read = READERS[corpus](folder)
    assert len(read) == count and read.odd == []
    genders = {e["speaker"]: e["gender"] for e in read.values()}
    assert len(genders) == speakers
    assert collections.Counter(genders.values())["F"] == women
    assert all(0.5 < e["duration"] < 10 for e in read.values())
    counts = COUNTS[corpus]
    if whole:
        every = READERS[corpus](folder, list(counts))
        found = collections.Counter(e["emotion"] for e in every.values())
        assert found == counts
    if corpus == "emodb":
        assert min(e["agreement"] for e in read.values()) == 0.8
        assert len({e["agreement"] for e in read.values()}) > 4
        assert list(READERS[corpus](folder / "flac")) == list(read)
