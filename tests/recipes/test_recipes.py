"""What SpeechBrain's consistency suite asks of every recipe."""

import ast
import csv
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from conftest import save_ssl_model
from speechbrain_ser.experiment.identity import code_files
from tests import processes
from tests.recipes import traced
from tests.recipes.helpers import ROOT, save_menan_run

ROWS = [
    row
    for path in sorted((ROOT / "tests" / "recipes").glob("*.csv"))
    for row in csv.DictReader(path.open(encoding="utf-8"))
]
CODE = [
    path
    for folder in ("speechbrain_ser", "recipes", "tests", "tools", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
]
# Rows whose code is another row's; tools/check_speechbrain.sh runs all rows.
ALIKE = (
    "recipes/AnyCorpus/hparams/dann_logmel.yaml",
    "recipes/AnyCorpus/hparams/egemaps_svm.yaml",
    "recipes/AnyCorpus/hparams/gmp_atl_logmel.yaml",
    "recipes/AnyCorpus/hparams/ipr_logmel.yaml",
    "recipes/AnyCorpus/hparams/lpmn_logmel.yaml",
    "recipes/AnyCorpus/hparams/menan_logmel.yaml",
    "recipes/AnyCorpus/hparams/probe_logmel.yaml",
    "recipes/IEMOCAP/hparams/gmp_atl.yaml",
    "recipes/IEMOCAP/hparams/ipr_logmel.yaml",
    "recipes/IEMOCAP/hparams/lpmn_logmel.yaml",
    "recipes/IEMOCAP/hparams/lpmn_as_printed.yaml",
    "recipes/IEMOCAP/hparams/menan_as_printed.yaml",
    "recipes/IEMOCAP/hparams/menan_small.yaml",
    "recipes/MER2023/hparams/lpmn.yaml",
    "recipes/MER2023/hparams/lpmn_as_printed.yaml",
)
RUN = [row for row in ROWS if row["Hparam_file"] not in ALIKE]
# Recipe to the settings that name its corpus: without them it takes the mini
# corpus, a larger one than that of these tests.
FOLDERS = {
    "recipes/IEMOCAP": {"data_folder": "IEMOCAP_full_release"},
    "recipes/MER2023": {"data_folder": "MER2023"},
    "recipes/RECOLA": {
        "recola_folder": "RECOLA",
        "iemocap_folder": "IEMOCAP_full_release",
    },
    "recipes/CMU-MOSEI": {"data_folder": "CMU-MOSEI"},
    "recipes/AnyCorpus": {},
}
# Those that run on half of that; the rows of IPR and of RECOLA fail with it.
FEW = (
    "recipes/IEMOCAP/train_codebook.py",
    "recipes/IEMOCAP/train_gmp_atl.py",
    "recipes/IEMOCAP/train_lpmn.py",
    "recipes/IEMOCAP/train_menan.py",
)
# What SpeechBrain's recipe tests read in the column of checks.
FILES = re.compile(r"file_exists=\[([^\]]+)\]")
PERFORMANCE = re.compile(
    r"performance_check=\[train_log\.txt, (\w+), ([<>])([\d.]+), (epoch: \d+)\]"
)
SETUP = ROOT / "tests" / "recipes" / "setup"
# run options of SpeechBrain that may stand in a YAML file
RUN_OPTIONS = {
    "ckpt_interval_minutes",
    "ckpt_interval_steps",
    "max_grad_norm",
}


def keys_of(path):
    """The top-level keys of a YAML file and its text without comments."""
    text = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
    return re.findall(r"^([A-Za-z]\w*):", text, re.M), text


def test_every_yaml_is_a_row():
    """And every row's files exist."""
    listed = {row["Hparam_file"] for row in ROWS}
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "recipes").rglob("hparams/*.yaml")
    }
    assert listed == found
    for row in ROWS:
        for column in ("Script_file", "Hparam_file", "Readme_file"):
            assert (ROOT / row[column]).is_file(), row[column]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["Hparam_file"])
def test_every_yaml_key_is_used(row):
    """By !ref in the YAML, or by name in the recipe's own script."""
    keys, text = keys_of(ROOT / row["Hparam_file"])
    script = (ROOT / row["Script_file"]).read_text(encoding="utf-8")
    unused = [
        key
        for key in keys
        if key not in RUN_OPTIONS
        and f"<{key}>" not in text
        and f'"{key}"]' not in script
        and f"hparams.{key}" not in script
    ]
    assert unused == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["Hparam_file"])
def test_script_asks_for_no_other_key(row):
    """What the script names stands in the YAML."""
    keys, _ = keys_of(ROOT / row["Hparam_file"])
    script = (ROOT / row["Script_file"]).read_text(encoding="utf-8")
    named = set(re.findall(r'(?:hparams|settings)\["(\w+)"\]', script))
    named |= set(re.findall(r"self\.hparams\.(\w+)", script))
    assert named <= set(keys)


def test_the_rows_that_run_meet_every_script():
    """And none of those that do not is the only one of its script."""
    assert {row["Script_file"] for row in RUN} == {
        row["Script_file"] for row in ROWS
    }
    assert len(RUN) == len(ROWS) - len(ALIKE)


@pytest.mark.parametrize("row", RUN, ids=lambda row: row["Hparam_file"])
def test_debug_flags_run(
    row,
    mini_folder,
    least_folder,
    mini_mer2023_folder,
    mini_recola_folder,
    mini_mosei_folder,
    tmp_path,
):
    """Each row small on a CPU, as SpeechBrain's recipe tests do.

    What is executed meanwhile is counted in the run's identity.
    """
    held = tmp_path / "tests" / "tmp"
    held.mkdir(parents=True)
    (tmp_path / "tests" / "samples").mkdir()
    speech = os.path.join(least_folder, "Session1")
    os.symlink(speech, tmp_path / "tests" / "samples" / "ASR")
    few = row["Script_file"] in FEW
    iemocap = least_folder if few else mini_folder
    os.symlink(iemocap, held / "IEMOCAP_full_release")
    os.symlink(mini_mer2023_folder, held / "MER2023")
    os.symlink(mini_recola_folder, held / "RECOLA")
    os.symlink(mini_mosei_folder, held / "CMU-MOSEI")
    if "evaluate_menan" in row["Script_file"]:
        save_menan_run(held / "menan" / "fold1")
    save_ssl_model(held / "hubert", "hubert", "layer")
    folders = FOLDERS[os.path.dirname(row["Script_file"])]
    if "audio_folder" in row["test_debug_flags"]:
        folders = {}
    script, hparams = ROOT / row["Script_file"], ROOT / row["Hparam_file"]
    child = processes.run(
        traced.run,
        str(tmp_path / "executed"),
        str(script),
        str(hparams),
        *row["test_debug_flags"].split(),
        *(f"--{key}=tests/tmp/{name}" for key, name in folders.items()),
        "--device=cpu",
        f"--output_folder={tmp_path / 'out'}",
        cwd=tmp_path,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    check_left(row["test_debug_checks"], tmp_path / "out")
    check_counted(script, hparams, (tmp_path / "executed").read_text().split())


def check_left(checks, folder):
    """What the column of checks says is there, as SpeechBrain's tests ask."""
    names = FILES.search(checks)[1].split(",")
    assert [name for name in names if not (folder / name).is_file()] == []
    performance = PERFORMANCE.search(checks)
    if performance is None:
        return
    name, sign, bound, epoch = performance.groups()
    lines = (folder / "train_log.txt").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{epoch} - "))
    value = float(re.search(rf"\b{name}: (\S+?)(,|$)", line)[1])
    bound = float(bound)
    assert value < bound if sign == "<" else value > bound, line


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["Hparam_file"])
def test_debug_columns_can_be_read(row):
    """Flags are keys of the YAML, checks are SpeechBrain's; none is empty."""
    keys, _ = keys_of(ROOT / row["Hparam_file"])
    flags = row["test_debug_flags"].split()
    for flag in flags:
        name, sign, value = flag.removeprefix("--").partition("=")
        assert flag == "--debug" or (name in keys and sign and value), flag
    checks = row["test_debug_checks"]
    left = PERFORMANCE.sub("", FILES.sub("", checks, count=1), count=1)
    assert FILES.search(checks) and left.strip() == ""
    trains = "evaluate" not in row["Script_file"]
    assert trains == bool(PERFORMANCE.search(checks))
    # what no flag makes, SpeechBrain's runner makes with the row's setup script
    script = row["Script_file"].removesuffix(".py").replace("/", "_")
    hparams = "hparams_" + pathlib.Path(row["Hparam_file"]).stem
    made = any("=tests/tmp/hubert" in f or "runs_folder" in f for f in flags)
    setup = SETUP / script / hparams
    assert setup.is_file() == made
    assert not made or os.access(setup, os.X_OK)


def test_setup_makes_a_model(tmp_path):
    """The small HuBERT, of the sizes that the rows' flags name."""
    scripts = [
        path
        for path in SETUP.glob("*/hparams_*")
        if "evaluate" not in path.name
    ]
    assert len({path.read_bytes() for path in scripts}) == 1
    here = os.path.dirname(sys.executable)
    paths = os.pathsep.join([here, os.environ["PATH"]])
    subprocess.run(
        [scripts[0]],
        cwd=tmp_path,
        env=dict(os.environ, PYTHONPATH=str(ROOT), PATH=paths),
        check=True,
    )
    made = json.loads((tmp_path / "tests/tmp/hubert/config.json").read_text())
    assert (made["num_hidden_layers"], made["hidden_size"]) == (3, 32)


def check_counted(script, hparams, executed):
    """What ran while the Brains learned and predicted is in the run's key."""
    home = str(ROOT / "speechbrain_ser") + os.sep
    executed = {path for path in executed if path.startswith(home)}
    counted = code_files(str(script), str(hparams))
    assert executed - counted == set()
    if "evaluate" not in script.name:
        needed = {"brain.py", "dataset.py", "distributed.py"}
        if script.stem == "train_probe":  # its fit takes no batches
            needed.remove("distributed.py")
        assert {os.path.basename(path) for path in executed} >= needed
        assert any(f"{os.sep}methods{os.sep}" in path for path in executed)


def test_everything_has_a_docstring():
    """Every module; outside the tests every class and function."""
    kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
    bare = []
    for path in CODE:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = [tree] if tree.body else []
        if "tests" not in path.parts:
            nodes += [
                node
                for node in ast.walk(tree)
                if isinstance(node, kinds) and node.name != "__init__"
            ]
        bare += [
            f"{path.relative_to(ROOT)}: {getattr(node, 'name', 'the module')}"
            for node in nodes
            if ast.get_docstring(node) is None
        ]
    assert len(CODE) > 300 and bare == []


def test_no_path_of_one_machine():
    """Nothing that is tracked names a folder of the machine it was made on."""
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True
    )
    home = str(pathlib.Path.home())
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix in {".py", ".yaml", ".md", ".csv", ".toml"}:
            text = path.read_text(encoding="utf-8")
            assert str(ROOT) + "/" not in text, name
            assert home == "/" or f"{home}/" not in text, name
