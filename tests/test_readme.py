"""The README's Python runs, and the files it names exist."""

import re
import shutil

import numpy as np
import pytest
import soundfile

from tests import processes
from tests.recipes.helpers import ROOT

PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if path.is_relative_to(ROOT / "docs")
    or not {".venv", "results"} & set(path.relative_to(ROOT).parts)
)
BLOCKS = [
    (path, block)
    for path in PAGES
    for block in re.findall(
        r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.S
    )
]


def execute(block):
    """Runs a block as a script of its own."""
    exec(compile(block, "block", "exec"), {"__name__": "__main__"})


def test_there_is_python_to_run():
    """Or the next test proves nothing."""
    assert BLOCKS


@pytest.mark.parametrize("block", [block for _, block in BLOCKS])
def test_python_blocks_run(block, tmp_path, model_folder):
    """As they stand, in a process of their own, and print something.

    Beside a model folder and two recordings.
    """
    shutil.copytree(model_folder, tmp_path / "my_model")
    for name in ("a.wav", "b.wav"):
        wav = 0.1 * np.random.default_rng(0).normal(size=16000)
        soundfile.write(tmp_path / name, wav, 16000)
    done = processes.run(execute, block, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.strip(), done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    """Links to files of this repository."""
    for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if not link.startswith("http"):
            assert (page.parent / link).exists(), link


def test_components_table_is_true():
    """Every import of the table exists."""
    import importlib

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.split("## Components")[1].split("```")[0]
    names = re.findall(r"^\| `([\w.]+)`(?:, `([\w.]+)`)? \|", table, re.M)
    assert len(names) > 5
    for name in [n for pair in names for n in pair if n]:
        module, _, attribute = f"speechbrain_ser.{name}".rpartition(".")
        if attribute[0].isupper() or module.endswith(("losses", "brain")):
            assert hasattr(importlib.import_module(module), attribute), name
        else:
            importlib.import_module(f"speechbrain_ser.{name}")


def test_the_table_of_ones_own_can_be_planned(mini_folder, tmp_path):
    """The README's table file, as it stands, in the repository's root."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```yaml\n(.*?)```", text, re.S)
    root = tmp_path / "root"
    root.mkdir()
    (root / "recipes").symlink_to(ROOT / "recipes")
    (root / "ablation.yaml").write_text(block, encoding="utf-8")
    done = processes.run(
        processes.as_script,
        *("speechbrain_ser.table", "ablation.yaml", "--dry_run"),
        *("--data_folder", str(mini_folder), "--test_size", "0.4"),
        cwd=root,
    )
    assert done.returncode == 0, done.stderr
    assert "0 of 9 runs are done" in done.stdout
    for name in ("IPR", "no contrastive loss", "soft pseudo-labels"):
        assert f"{name}, seed 3" in done.stdout


def test_the_protocols_are_the_registered_ones():
    """Each has its line in the table, in the registry's words."""
    from speechbrain_ser.corpora.protocols.named import PROTOCOLS

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.split("## Protocols")[1].split("\n## ")[0]
    assert dict(re.findall(r"^\| `(.+?)` \| (.+) \|$", table, re.M)) == {
        name: protocol.text for name, protocol in PROTOCOLS.items()
    }


@pytest.mark.parametrize(
    "path",
    sorted(ROOT.glob("recipes/*/hparams/*.yaml")),
    ids=lambda path: f"{path.parts[-3]}/{path.name}",
)
def test_readmes_of_recipes_name_their_hparams(path):
    """And are whole: they begin with a title."""
    text = (path.parents[1] / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# ") and path.name in text
