"""Runs recipes in this process, and reads what they leave."""

import csv
import importlib.util
import io
import json
import os
import pathlib
import pkgutil
import re
import signal
import sys

import matplotlib.figure
import pytest
import torch
from ruamel.yaml import YAML

import speechbrain as sb
from speechbrain_ser.experiment.hparams import nodes
from speechbrain_ser.figures import planes

ROOT = pathlib.Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "IEMOCAP" / "train_ipr.py"
LPMN = ROOT / "recipes" / "IEMOCAP" / "train_lpmn.py"
LPMN_MER2023 = ROOT / "recipes" / "MER2023" / "train_lpmn.py"
CODEBOOK = ROOT / "recipes" / "IEMOCAP" / "train_codebook.py"
GMP_ATL = ROOT / "recipes" / "IEMOCAP" / "train_gmp_atl.py"
DANN = ROOT / "recipes" / "RECOLA" / "train_dann.py"
MENAN = ROOT / "recipes" / "IEMOCAP" / "train_menan.py"
MOSEI = ROOT / "recipes" / "CMU-MOSEI" / "evaluate_menan.py"
PARTS = ("train", "valid", "test")
SHORT = (
    "--noprogressbar --device cpu --number_of_epochs 3 --warmup_epochs 1 "
    "--warmup_updates 0 --last_epochs 1"
).split()
# the parts of a checkpoint that are the model
RECOVERED = (
    "encoder",
    "norm",
    "pooling",
    "head",
    "classifier",
    "language_classifier",
    "speaker_classifier",
    "memory",
    "regressor",
    "prototypes",
    "codebook",
    "importance",
    "standardisation",
    "source_standardisation",
    "target_standardisation",
)


def import_script(path):
    """Imports a recipe script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def run_recipe(monkeypatch, *arguments, script=RECIPE):
    """Runs a recipe as its command line would; returns its error or None."""
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
    # it asks pip, for as long as a small run takes
    monkeypatch.setattr(sb.utils.logger, "get_environment_description", str)
    # read already: the rows of tests/recipes/*.csv write it as SpeechBrain does
    monkeypatch.setattr(sb.core, "resolve_references", as_read)
    try:
        import_script(script).RECIPE.run()
    except SystemExit as stop:
        return stop.code
    return None


def as_read(stream, overrides):
    """Gives a hparams file with overrides, as `hparams.nodes` has kept it."""
    text = io.StringIO()
    YAML(typ="rt").dump(nodes(stream.name, overrides or ""), text)
    text.seek(0)
    return text


def environment_of(tmp_path_factory):
    """Of other processes: one thread, the mini corpora of this session."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    return os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(ROOT),
        "SPEECHBRAIN_SER_CACHE": str(base / "mini"),
    }


def undrawn(monkeypatch):
    """Leaves empty files as figures, and lays no t-SNE: half of a small run."""
    monkeypatch.setattr(
        matplotlib.figure.Figure,
        "savefig",
        lambda self, path, **kwargs: pathlib.Path(path).touch(),
    )
    monkeypatch.setattr(planes, "neighbour_map", lambda features, start: start)


def weights(folder):
    """Returns all tensors of the newest checkpoint of a run."""
    newest = max(
        (pathlib.Path(folder) / "save").glob("CKPT+*"),
        key=lambda path: path.stat().st_mtime,
    )
    found = {}
    for name in RECOVERED:
        path = newest / f"{name}.ckpt"
        if path.exists():
            for key, value in torch.load(path, weights_only=True).items():
                found[f"{name}.{key}"] = value
    return found


def in_second_epoch(folder):
    """Whether a run is past its first epoch and saved within another."""
    curves = folder / "curves.csv"
    if not curves.exists() or len(curves.read_text().splitlines()) < 2:
        return False
    for meta in (folder / "save").glob("CKPT+*/CKPT.yaml"):
        try:
            text = meta.read_text()
        except FileNotFoundError:
            continue
        if "end-of-epoch: false" in text and (
            meta.stat().st_mtime > curves.stat().st_mtime
        ):
            return True
    return False


def own(folder, parts=PARTS):
    """The arguments for annotations of one's own."""
    return ["--skip_prep", "True"] + [
        word
        for part in parts
        for word in (f"--{part}_annotation", folder / f"{part}.json")
    ]


def same_weights(one, other):
    """Whether two runs ended bit for bit alike."""
    one, other = weights(one), weights(other)
    return one.keys() == other.keys() and all(
        torch.equal(one[key], other[key]) for key in one
    )


def results(folder):
    """Returns metrics, curves and predictions without what a clock says."""
    folder = pathlib.Path(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics.pop("wall_seconds")
    with open(folder / "curves.csv", encoding="utf-8") as file:
        curves = list(csv.DictReader(file))
    for row in curves:
        row.pop("seconds")
    predictions = (folder / "predictions.csv").read_text()
    return metrics, curves, predictions


def words(*hparams, **settings):
    """A command line: a hparams file, and settings as --name value."""
    line = [*hparams, "--noprogressbar"]
    for name, value in settings.items():
        line += [f"--{name}", "null" if value is None else value]
    return [str(word) for word in line]


def table(path):
    """The rows of a CSV file."""
    with open(path, encoding="utf-8") as file:
        return list(csv.DictReader(file))


def figures(folder):
    """The names of a run's figures."""
    return {name[:-4] for name in os.listdir(folder / "figures")}


def check_sentence(error, said):
    """An error as a user should read it."""
    assert isinstance(error, str) and error.startswith("error: "), error
    assert "\n" not in error
    assert re.search(said, error), error


def run_undrawn(script, line):
    """Runs a recipe in a process of its own, without pictures."""
    undrawn(pytest.MonkeyPatch())
    sys.argv = [str(script), *line]
    import_script(script).RECIPE.run()


def run_until(place, count, script, line):
    """Runs a recipe in a process of its own that dies by SIGKILL.

    Arguments
    ---------
    place : str
        A function or method, as ``package.module:Class.method``.
    count : int
        The call of it that is never made.
    script : pathlib.Path
    line : list of str
        The command line.
    """
    module, _, name = place.partition(":")
    *outer, name = name.split(".")
    owner = pkgutil.resolve_name(":".join([module, ".".join(outer)]))
    original, calls = getattr(owner, name), []

    def counted(*args, **kwargs):
        """Stands in for the function."""
        calls.append(name)
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*args, **kwargs)

    setattr(owner, name, counted)
    run_undrawn(script, line)


def save_menan_run(
    folder, epochs=(1, 2), selected=1, more_facts=None, **settings
):
    """Leaves what a finished run of train_menan.py does, without training.

    Arguments
    ---------
    folder : pathlib.Path
    epochs : tuple of int
        Of which there are checkpoints, each with other weights.
    selected : int
        Of them.
    more_facts : dict, optional
        Of its report.
    **settings : dict
        Of menan_small.yaml.

    Returns
    -------
    pathlib.Path
        The folder.
    """
    from speechbrain_ser.experiment import hparams as recipe
    from speechbrain_ser.experiment.identity import counted
    from speechbrain_ser.experiment.run_folder import as_written
    from speechbrain_ser.utils.checkpoints import AtomicCheckpointer
    from speechbrain_ser.utils.files import write_json

    path = str(MENAN.parent / "hparams" / "menan_small.yaml")
    settings = {"channels": 8, "n_speakers": 8, "duration": 1.5} | settings
    settings = {"lr_speaker": 0.003, "emotion_weight": 0.7} | settings
    settings["output_folder"] = str(folder)
    overrides = recipe.with_overrides("", **settings)
    for epoch in epochs:
        seeded = recipe.with_overrides(overrides, seed=epoch)
        hparams = recipe.load(path, seeded)
        held = hparams["checkpointer"].recoverables
        saver = AtomicCheckpointer(folder / "save", held)
        saver.save_checkpoint(meta={"epoch": epoch})
    settings = recipe.peek(path, overrides)
    write_json(
        str(folder / "settings.json"), as_written(counted(path, settings))
    )
    facts = {name: settings[name] for name in ("fold", "system", "seed")}
    facts |= {"method": "MEnAN", "corpus": settings["corpus_name"]}
    facts |= {"protocol": "iemocap-5fold-two-speakers@1"}
    facts |= {"parts_sha256": {"train": f"without {settings['fold']}"}}
    facts |= {"selected_epoch": selected} | (more_facts or {})
    write_json(str(folder / "metrics.json"), facts)
    return folder
