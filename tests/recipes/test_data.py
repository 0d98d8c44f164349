"""What data of one's own may not hold, and what a corpus may: in all recipes."""

import json
import pathlib
import shutil

import pytest

from speechbrain_ser.corpora.annotations import write_annotation
from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.protocols.iemocap import AMBIGUITY
from speechbrain_ser.corpora.recola import read_recola
from tests.recipes.helpers import (
    DANN,
    GMP_ATL,
    MENAN,
    RECIPE,
    check_sentence,
    run_recipe,
    table,
    undrawn,
)

HPARAMS = {
    RECIPE: "ipr_logmel.yaml",
    GMP_ATL: "gmp_atl_small.yaml",
    MENAN: "menan_small.yaml",
    DANN: "dann.yaml",
}
# one of each frame: a run, stages before it, two languages
FRAMES = [RECIPE, GMP_ATL, DANN]
IDS = [script.stem for script in FRAMES]
every_frame = pytest.mark.parametrize("script", FRAMES, ids=IDS)


@pytest.fixture(scope="module")
def splits(mini_folder, mini_recola_folder):
    """Each recipe's parts of its mini corpus."""
    iemocap = AMBIGUITY.split(read_iemocap(mini_folder), test_size=0.4)
    two = {
        key: entry | {"emotion": "high" if entry["arousal"] > 0 else "low"}
        for key, entry in read_recola(mini_recola_folder).items()
    }
    speakers = {entry["speaker"] for entry in two.values()}
    first = sorted(speakers)[: len(speakers) // 2]
    own = {"source": {}, "target": {}}
    for key, entry in two.items():
        own["source" if entry["speaker"] in first else "target"][key] = entry
    labelled = {k: part for k, part in iemocap.items() if k != "unlabelled"}
    found = dict.fromkeys(HPARAMS, labelled) | {
        RECIPE: iemocap,
        DANN: own,
    }
    return {k: {n: dict(p) for n, p in v.items()} for k, v in found.items()}


def own(folder, parts):
    """Writes annotations; returns the words that name them."""
    words = ["--skip_prep", "True", "--output_folder", folder / "out"]
    for part, annotation in parts.items():
        path = folder / f"{part}.json"
        write_annotation(str(path), annotation)
        words += [f"--{part}_annotation", path]
    return words


def run(monkeypatch, script, *words):
    """Runs a recipe on a CPU; returns its error or None."""
    undrawn(monkeypatch)
    line = [f"hparams/{HPARAMS[script]}", "--noprogressbar", "--device", "cpu"]
    if script == RECIPE and "--warmup_updates" not in words:
        line += ["--warmup_updates", "0"]  # the mini corpus is small
    return run_recipe(monkeypatch, *line, *words, script=script)


def first(annotation):
    """The first utterance of an annotation."""
    return next(iter(annotation.items()))


@every_frame
def test_a_copy_in_two_labelled_parts_is_refused(
    script, splits, tmp_path, monkeypatch
):
    """Before anything is written; both ids and files are named."""
    parts = {name: dict(part) for name, part in splits[script].items()}
    names = ("source", "target") if script == DANN else ("train", "test")
    key, entry = first(parts[names[0]])
    copy = tmp_path / "copy.wav"
    shutil.copy(entry["wav"], copy)
    other = (
        f"of {'(valid|test)' if script == DANN else tmp_path / 'test.json'} "
    )
    for label in ("low", "high") if script == DANN else (entry["emotion"],):
        copied = entry | {"wav": str(copy), "emotion": label}
        # several, of which one at least will test
        more = [""] if script != DANN else [f" {i}" for i in range(6)]
        parts[names[1]] |= {f"{label}{i} copy": copied for i in more}
    said = rf"{key} of .*'{entry['wav']}'.* copy {other}.*'{copy}'.*: keep one"
    error = run(monkeypatch, script, *own(tmp_path, parts))
    check_sentence(error, said)
    assert not (tmp_path / "out").exists()


def test_d3_must_not_be_in_d2(splits, tmp_path, monkeypatch):
    """IPR's test audio in its unlabelled part, under another name."""
    parts = {name: dict(part) for name, part in splits[RECIPE].items()}
    key, entry = first(parts["test"])
    parts["unlabelled"]["other"] = entry
    error = run(monkeypatch, RECIPE, *own(tmp_path, parts))
    check_sentence(error, f"{key} of .*test.json.* as other of .*unlabelled.js")


def test_planning_reads_no_content(splits, tmp_path, monkeypatch):
    """A table plans its runs by ids and labels alone."""
    from speechbrain_ser.corpora.protocols import content
    from tests.recipes.helpers import import_script

    def read(*place):
        """Nobody may."""
        raise AssertionError(place)

    monkeypatch.setattr(content, "content_digest", read)
    monkeypatch.setattr(content, "length", read)
    words = own(tmp_path, splits[RECIPE])
    text = "".join(
        f"{name[2:]}: {value}\n" for name, value in zip(words[::2], words[1::2])
    )
    text += "warmup_updates: 0\n"  # the mini corpus is small
    path = RECIPE.parent / "hparams" / HPARAMS[RECIPE]
    planned = import_script(RECIPE).plan(str(path), text)
    assert planned.parts["test"].keys() == splits[RECIPE]["test"].keys()


@every_frame
def test_a_wrong_duration_is_refused_with_its_row(
    script, splits, tmp_path, monkeypatch
):
    """File, id and both numbers."""
    parts = {name: dict(part) for name, part in splits[script].items()}
    name = "target" if script == DANN else "train"
    key, entry = first(parts[name])
    parts[name][key] = entry | {"duration": entry["duration"] + 1}
    wrong = f"{entry['duration'] + 1:g} s, but samples .* are "
    said = f"{tmp_path / name}.json', entry '{key}' has the duration {wrong}"
    error = run(monkeypatch, script, *own(tmp_path, parts))
    check_sentence(error, f"{said}{entry['duration']:.3f} s: correct its dur")
    parts[name][key] = entry | {"stop": entry["stop"] + 10**9}
    error = run(monkeypatch, script, *own(tmp_path, parts))
    check_sentence(error, f"{name}.json', entry '{key}' means samples")


@every_frame
def test_an_emotion_that_is_not_known_is_no_class(
    script, splits, tmp_path, monkeypatch
):
    """Where a label is needed its row is named, whatever the word."""
    parts = {name: dict(part) for name, part in splits[script].items()}
    name = "source" if script == DANN else "train"
    key, entry = first(parts[name])
    for word in ("Unknown", "--"):
        parts[name][key] = entry | {"emotion": word}
        error = run(monkeypatch, script, *own(tmp_path, parts))
        said = f"{name}.json', entry '{key}' has \"{word}\" as 'emotion', which"
        check_sentence(error, said)


@pytest.mark.parametrize(
    "script, word",
    zip(FRAMES, ["none", "N/A", "none"]),
    ids=IDS,
)
def test_a_class_is_not_called_none(
    script, word, splits, tmp_path, monkeypatch
):
    """It could not be told from a missing label."""
    words = own(tmp_path, splits[script])
    labels = f"[high, low, '{word}']"
    error = run(monkeypatch, script, *words, "--labels", labels)
    check_sentence(error, f"--labels has '{word}', which says that a label is")


@pytest.mark.parametrize(
    "script, key, said, word",
    [
        (GMP_ATL, "gender", "has no gender, which stage 1", "Unknown"),
        (GMP_ATL, "gender", "has no gender, which stage 1", ""),
        (MENAN, "speaker", "has no speaker", "n/a"),
        (MENAN, "speaker", "has no speaker", "-"),
        (MENAN, "speaker", "has no speaker", None),
    ],
    ids=str,
)
def test_what_a_method_needs_is_missing_by_any_word(
    script, key, said, word, splits, tmp_path, monkeypatch
):
    """The gender that is learnt, the speakers that are forgotten."""
    parts = {name: dict(part) for name, part in splits[script].items()}
    name, entry = first(parts["train"])
    parts["train"][name] = entry | {key: word}
    error = run(monkeypatch, script, *own(tmp_path, parts))
    check_sentence(error, f"{name}.*{said}")


def test_a_speaker_that_is_not_known_holds_out_nobody(
    splits, tmp_path, monkeypatch
):
    """DANN's --split_by speaker; "n/a" would be one of them."""
    parts = {name: dict(part) for name, part in splits[DANN].items()}
    name, entry = first(parts["target"])
    parts["target"][name] = entry | {"speaker": "n/a"}
    words = own(tmp_path, parts)
    error = run(monkeypatch, DANN, *words, "--split_by", "speaker")
    check_sentence(error, f"{name} has no speaker, which --split_by speaker")


# Corpora


def broken_iemocap(folder, root):
    """A copy of a corpus in IEMOCAP's layout with three odd entries."""
    shutil.copytree(folder, root)
    files = sorted(pathlib.Path(root).rglob("EmoEvaluation/Ses*.txt"))
    lines = files[0].read_text().split("\n")
    at = next(i for i, line in enumerate(lines) if line.startswith("["))
    lines[at] = lines[at].replace(" - ", " to ")
    files[0].write_text("\n".join(lines))
    text = files[1].read_text().split("\n")
    at = next(i for i, line in enumerate(text) if line.startswith("C-E"))
    text[at] = text[at].split("\t")[0] + "\tJoyy;\t()"
    files[1].write_text("\n".join(text))
    sound = sorted(pathlib.Path(root).rglob("sentences/wav/*/Ses05*.wav"))[-1]
    sound.write_bytes(sound.read_bytes()[:1000])
    return str(root)


def test_odd_entries_are_listed_in_the_runs_folder(
    mini_folder, tmp_path, monkeypatch, capfd
):
    """Beside the annotations, and told; the run itself goes on."""
    root = broken_iemocap(mini_folder, tmp_path / "IEMOCAP")
    out = tmp_path / "out"
    words = "--system baseline --number_of_epochs 1 --channels 8 "
    words += "--embedding_dim 8 --hidden_dim 8 --test_size 0.4"
    line = [*words.split(), "--data_folder", root, "--output_folder", out]
    assert run(monkeypatch, RECIPE, *line) is None
    rows = table(out / "odd_entries.csv")
    assert [row["what"] for row in rows] == [
        "Utterances whose summary can't be read",
        "Annotators' lines that can't be read",
        "Utterances whose audio is missing or broken",
    ]
    assert {row["done"] for row in rows} == {"left out"}
    metrics = json.loads((out / "metrics.json").read_text())
    assert sum(metrics["sizes"].values()) == len(read_iemocap(root))
    assert metrics["transductive"] is False
    log = (out / "log.txt").read_text()
    assert "3 odd entries: see odd_entries.csv" in log
