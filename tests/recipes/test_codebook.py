"""The codebook's recipe, and what LPMN makes of the codebook."""

import json

import pytest
import soundfile as sf
import torch

from speechbrain.utils.run_opts import RunOptions
from speechbrain_ser.corpora.annotations import (
    read_annotation,
    write_annotation,
)
from speechbrain_ser.experiment import hparams as recipe
from speechbrain_ser.utils.audio import load_audio
from tests.recipes.helpers import (
    CODEBOOK,
    LPMN,
    PARTS,
    check_sentence,
    figures,
    import_script,
    own,
    table,
    undrawn,
    weights,
)
from tests.recipes.lpmn_runs import (
    HUBERT,
    LOGMEL,
    QUICK,
    hubert_settings,
    run,
    write_parts,
)


@pytest.fixture(scope="module", autouse=True)
def no_pictures():
    """They take longer than all else."""
    with pytest.MonkeyPatch.context() as patch:
        undrawn(patch)
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A folder for what the tests share."""
    return tmp_path_factory.mktemp("lpmn")


@pytest.fixture(scope="module")
def ready(tmp_path_factory, mini_folder, mini_mer2023_folder):
    """A folder with the annotations of both small mini corpora."""
    folder = tmp_path_factory.mktemp("ready")
    return write_parts(folder, mini_folder, mini_mer2023_folder)


@pytest.fixture(scope="module")
def small_hubert(tmp_path_factory):
    """The recipe's settings for a tiny HuBERT."""
    return hubert_settings(tmp_path_factory.mktemp("hubert"))


@pytest.fixture(scope="module")
def speech(base, ready):
    """A folder of audio with folders below it, and other files."""
    annotation = read_annotation(str(ready / "IEMOCAP" / "train.json"))
    for i, entry in enumerate(list(annotation.values())[:30]):
        folder = base / "speech" / f"speaker{i % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        sf.write(folder / f"{i}.wav", load_audio(entry).numpy(), 16000)
    (base / "speech" / "notes.txt").write_text("not audio")
    return base / "speech"


@pytest.fixture(scope="module")
def learn(base, small_hubert):
    """A function that learns a codebook; it returns the error or None."""
    settings = {k: v for k, v in small_hubert.items() if k != "lr"}
    settings |= {"device": "cpu", "n_prototypes": 16, "number_of_epochs": 2}

    def learn(name, **more):
        """Into the folder of this name."""
        more = settings | {"output_folder": base / name} | more
        return run(CODEBOOK, "hparams/codebook.yaml", **more)

    return learn


@pytest.fixture(scope="module")
def codebook(base, learn, speech):
    """A codebook of 16 prototypes of the tiny HuBERT, from a folder."""
    assert learn("codebook", audio_folder=speech) is None
    return base / "codebook" / "codebook.ckpt"


def test_codebook_sees_no_emotion(ready, learn, base, tmp_path):
    """Annotations with and without emotions: bit for bit one codebook."""
    annotation = read_annotation(str(ready / "IEMOCAP" / "train.json"))
    for entry in annotation.values():
        entry.pop("emotion")
        entry.pop("speaker")
    bare = tmp_path / "bare.json"
    write_annotation(str(bare), annotation)
    path = ready / "IEMOCAP" / "train.json"
    assert learn("with emotions", train_annotation=path) is None
    assert learn("without", train_annotation=bare) is None
    one, other = (
        torch.load(base / name / "codebook.ckpt", weights_only=True)
        for name in ("with emotions", "without")
    )
    assert one["prototypes"].shape == (16, 32)
    assert torch.equal(one["prototypes"], other["prototypes"])
    about = json.loads((base / "without" / "codebook.json").read_text())
    assert about["sizes"] == {"train": len(annotation)}


def test_codebook_learns_from_a_folder(codebook, speech):
    """All audio in folders below it, by Eq. 1 alone."""
    about = json.loads((codebook.parent / "codebook.json").read_text())
    assert about["sizes"] == {"train": 30}
    curves = table(codebook.parent / "curves.csv")
    losses = [float(row["train_loss"]) for row in curves]
    assert losses[1] < losses[0]
    assert figures(codebook.parent) == {"curves"}


def test_codebook_is_what_lpmn_begins_with(codebook, ready, small_hubert, base):
    """Without a learning rate a run keeps them; its metrics name the file."""
    settings = QUICK | small_hubert
    # too small to move a prototype
    rates = {"lr": 1e-30, "lr_classifier": 0.001}
    settings |= {"number_of_epochs": 1, "codebook": codebook} | rates
    settings |= {"output_folder": base / "kept"}
    arguments = own(ready / "IEMOCAP")
    assert run(LPMN, HUBERT, *arguments, **settings) is None
    learnt = torch.load(codebook, weights_only=True)["prototypes"]
    held = weights(base / "kept")["pooling.codebook.prototypes"]
    assert torch.equal(held, learnt)
    settings |= {"codebook": None, "output_folder": base / "figure_utterances"}
    assert run(LPMN, HUBERT, *arguments, **settings) is None
    held = weights(base / "figure_utterances")["pooling.codebook.prototypes"]
    assert not torch.equal(held, learnt)


def test_another_codebook_is_another_run(ready, tmp_path):
    """The file's bytes are in the key, and claim the folder."""
    script = import_script(LPMN)
    path = tmp_path / "codebook.ckpt"
    run_opts = RunOptions()
    overrides = {
        f"{name}_annotation": str(ready / "IEMOCAP" / f"{name}.json")
        for name in PARTS
    }
    overrides |= {"skip_prep": True, "codebook": str(path), "n_selected": None}
    overrides |= {"n_prototypes": 16}
    text = recipe.with_overrides("", **overrides)

    def key():
        """Of the run, as a new process finds it."""
        planned = script.plan(str(LPMN.parent / LOGMEL), text)
        return planned.key(run_opts)

    torch.save({"prototypes": torch.randn(16, 64)}, path)
    first = key()
    assert key() == first
    settings = QUICK | {"codebook": path, "output_folder": tmp_path / "out"}
    settings |= {"number_of_epochs": 1}
    assert run(LPMN, LOGMEL, *own(ready / "IEMOCAP"), **settings) is None
    torch.save({"prototypes": torch.randn(16, 64)}, path)
    assert key() != first
    error = run(LPMN, LOGMEL, *own(ready / "IEMOCAP"), **settings)
    assert (
        error.startswith("error: ")
        and "holds a run with files = {'codebook'" in error
    )


@pytest.mark.parametrize(
    "settings, said",
    [
        ({}, "--audio_folder.*--train_annotation"),
        ({"audio_folder": "/nowhere/at/all"}, "/nowhere/at/all' is no folder"),
        ({"audio_folder": "{tmp}"}, "holds no audio"),
        ({"train_annotation": "{tmp}/no.json"}, "no.json.*missing"),
        (
            {"audio_folder": "{tmp}", "train_annotation": "{tmp}/no.json"},
            "--audio_folder.*--train_annotation",
        ),
    ],
)
def test_codebook_without_speech_is_one_sentence(
    settings, said, learn, tmp_path
):
    """None, nowhere, of no audio, or two sources."""
    settings = {k: v.format(tmp=tmp_path) for k, v in settings.items()}
    error = learn("nothing", output_folder=tmp_path / "out", **settings)
    check_sentence(error, said)
    assert not (tmp_path / "out").exists()
