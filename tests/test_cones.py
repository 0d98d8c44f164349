"""What loads with what: lobes, corpora, the package itself, `--help`."""

import ast
import functools
import json
import subprocess
import sys

import pytest

from tests.recipes.helpers import ROOT

HOME = ROOT / "speechbrain_ser"
# Lobe to the siblings that load with it, all of them.
LOBES = {
    "centering": [],
    "codebook": ["pooling"],
    "conditional": [],
    "conv_attention": ["pooling"],
    "domain_norm": [],
    "features": ["pitch"],
    "frame_pooling": ["codebook", "local_prototypes", "pooling"],
    "front_end": [],
    "gradient_reversal": [],
    "kept_model": ["ssl_source"],
    "importance": ["codebook", "local_prototypes", "pooling"],
    "linear_probe": ["features", "pitch"],
    "local_means": ["pooling"],
    "local_prototypes": ["codebook", "pooling"],
    "logmel": ["features", "pitch", "pooling"],
    "masked_prediction": [],
    "multitask_head": ["pooling"],
    "pitch": [],
    "pooled_encoder": [],
    "pooling": [],
    "prototypes": ["centering"],
    "small_hubert": [],
    "speaker_invariant": ["pooling"],
    "speech_encoder": [
        "front_end",
        "kept_model",
        "pooling",
        "speech_model",
        "ssl",
        "ssl_prefix",
        "ssl_source",
        "whisper",
        "whisper_features",
        "whisper_source",
    ],
    "speech_model": ["kept_model", "pooling", "ssl_source"],
    "ssl": [
        "front_end",
        "kept_model",
        "pooling",
        "speech_model",
        "ssl_prefix",
        "ssl_source",
    ],
    "ssl_prefix": [],
    "ssl_source": [],
    "utterance_pooling": [
        "codebook",
        "local_means",
        "local_prototypes",
        "pooling",
    ],
    "whisper": [
        "kept_model",
        "pooling",
        "speech_model",
        "ssl_source",
        "whisper_features",
        "whisper_source",
    ],
    "whisper_features": [],
    "whisper_source": ["ssl_source"],
}
CORPORA = (
    "iemocap",
    "mer2023",
    "recola",
    "cmu_mosei",
    "emodb",
    "ravdess",
    "nemo",
    "manifest",
)
COMMANDS = [
    *sorted(str(path) for path in (ROOT / "recipes").glob("*/*.py")),
    str(HOME / "table" / "__main__.py"),
    str(HOME / "label.py"),
    *(str(ROOT / "tools" / f"{n}.py") for n in ("mutants", "compare_commits")),
]
HEAVY = ("torch", "speechbrain", "transformers", "sklearn", "scipy.signal")
# Asks a command for help and prints which heavy modules it loaded.
HELP = """
import contextlib, io, json, runpy, sys
script, heavy = sys.argv[1], json.loads(sys.argv[2])
sys.argv = [script, "--help"]
sys.path.insert(0, script.rpartition("/")[0])
said = io.StringIO()
try:
    with contextlib.redirect_stdout(said):
        runpy.run_path(script, run_name="__main__")
except SystemExit as stop:
    assert stop.code in (0, None), stop.code
assert "usage" in said.getvalue() and len(said.getvalue()) > 400
print(json.dumps([name for name in heavy if name in sys.modules]))
"""
# What a model of log-Mel features needs nothing of.
SLOW = ("transformers", "sklearn", "scipy.signal", "matplotlib", "pandas")
# Imports the modules of inference one by one, then labels with a model folder,
# and prints which slow modules came with what.
LABELS = """
import importlib, json, pathlib, sys
home, folder = map(pathlib.Path, sys.argv[1:3])
slow, found = json.loads(sys.argv[3]), {}

def look(what):
    new = [name for name in slow if name in sys.modules]
    if new:
        found[what] = new
        slow[:] = [name for name in slow if name not in new]

import torch, speechbrain
look("torch and SpeechBrain")
names = sorted(path.stem for path in home.glob("*.py") if path.stem[0] != "_")
for name in names:
    importlib.import_module(f"speechbrain_ser.inference.{name}")
    look(name)
from speechbrain_ser.inference.recognizer import EmotionRecognizer
recognizer = EmotionRecognizer.from_folder(folder, device="cpu")
for rate in (16000, 8000):
    recognizer.label(torch.randn(rate), rate=rate)
look("labelling")
print(json.dumps([names, found]))
"""
# Imports every module of the package as on a system without fcntl.
WITHOUT_FCNTL = """
import importlib, pathlib, sys
home = pathlib.Path(sys.argv[1])
import torch, transformers
sys.modules["fcntl"] = None
for path in sorted(home.rglob("*.py")):
    name = ".".join(path.relative_to(home.parent).with_suffix("").parts)
    if not name.endswith("__main__"):
        importlib.import_module(name.removesuffix(".__init__"))
        print(name)
"""


def python(code, *arguments):
    """Runs code in a fresh interpreter; returns what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_at_once(node):
    """Yields the imports below a node that are executed with it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        elif not isinstance(child, ast.FunctionDef):
            yield from loaded_at_once(child)


@functools.lru_cache(maxsize=None)
def direct(path):
    """The files of this package that load with a file."""
    names = set()
    for node in loaded_at_once(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
            names.add(node.module)
    places = [name.split(".") for name in names]
    found = {
        HOME.joinpath(*place[1:]).with_suffix(".py")
        for place in places
        if place[0] == HOME.name and len(place) > 1
    }
    return {path for path in found if path.exists()}


def cone(path):
    """All files of this package that load with a file."""
    seen, waiting = set(), [path]
    while waiting:
        new = direct(waiting.pop()) - seen
        seen |= new
        waiting += new
    return seen


def room(path):
    """The room that a file lies in."""
    return path.relative_to(HOME).parts[0]


@pytest.mark.parametrize("name", sorted(LOBES))
def test_a_lobe_loads_its_siblings_alone(name):
    """Of them those listed, and utils."""
    found = cone(HOME / "lobes" / f"{name}.py")
    assert {room(path) for path in found} <= {"lobes", "utils"}
    assert sorted(p.stem for p in found if room(p) == "lobes") == (LOBES[name])


def test_every_lobe_is_listed():
    """A new one is thought about."""
    there = {path.stem for path in (HOME / "lobes").glob("*.py")}
    assert there - {"__init__"} == set(LOBES)


@pytest.mark.parametrize("name", ["losses", "schedules"])
def test_losses_and_schedules_load_utils_alone(name):
    """Not one lobe."""
    found = cone(HOME / f"{name}.py")
    assert {room(path) for path in found} <= {"utils"}


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_loads_no_other(name):
    """Neither its reader, nor its protocols and mini corpus."""
    own = [p for p in (HOME / "corpora").rglob("*.py") if p.stem == name]
    found = set().union(*map(cone, own))
    others = set(CORPORA) - {name}
    assert own and not {path.stem for path in found} & others


def test_the_cones_are_those_of_python():
    """What is found in the text is what really loads."""
    code = (
        "import sys, speechbrain_ser.lobes.logmel; print(sorted(n for n in "
        "sys.modules if n.startswith('speechbrain_ser.lobes.')))"
    )
    path = HOME / "lobes" / "logmel.py"
    stems = [p.stem for p in cone(path) | {path} if room(p) == "lobes"]
    names = sorted(f"speechbrain_ser.lobes.{stem}" for stem in stems)
    assert python(code).strip() == str(names)


def test_the_package_alone_loads_nothing():
    """Not torch, not numpy."""
    code = (
        "import sys; before = set(sys.modules); import speechbrain_ser;"
        "new = {n.split('.')[0] for n in set(sys.modules) - before};"
        "print(sorted(new - set(sys.stdlib_module_names)))"
    )
    assert python(code).strip() == "['speechbrain_ser']"


@pytest.mark.parametrize("script", COMMANDS, ids=lambda path: path[-30:])
def test_help_is_light(script):
    """Each command says what it takes, without torch."""
    assert python(HELP, script, json.dumps(HEAVY)).strip() == "[]"


def test_labels_come_without_what_is_slow(model_folder):
    """Whatever the modules of inference: what few need loads where it is used."""
    home = HOME / "inference"
    said = python(LABELS, home, model_folder, json.dumps(SLOW))
    names, found = json.loads(said)
    assert {"recognizer", "folder", "pretrained"} <= set(names)
    assert found == {}


def test_all_is_imported_without_fcntl():
    """As on Windows."""
    names = python(WITHOUT_FCNTL, HOME).split()
    assert len(names) > 120
    assert {"speechbrain_ser.utils.files", "speechbrain_ser.brain"} <= set(
        names
    )
