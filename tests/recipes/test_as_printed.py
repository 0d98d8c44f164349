"""A method's file and the paper's print: they differ by one block alone."""

import re

import pytest

from speechbrain_ser.experiment.hparams import parsed
from tests.recipes.helpers import ROOT

HPARAMS = sorted((ROOT / "recipes").glob("*/hparams/*.yaml"))
DEPARTURES = (
    "# Departures: what is changed of the paper's print or added to it, each "
    "with its reason"
)
DEPART = [p for p in HPARAMS if DEPARTURES in p.read_text("utf-8")]
PRINTED = [p for p in HPARAMS if p.stem.endswith("_as_printed")]


def cut(path, first):
    """Cuts a file: a block, and the rest but for its head comment."""
    lines = path.read_text(encoding="utf-8").splitlines()
    head = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    begin = lines.index(first)
    end = begin + lines[begin:].index("")
    return lines[begin:end], lines[head:begin] + lines[end:]


def test_each_has_the_other():
    """No print without departures, and the other way round."""
    names = {p.with_stem(f"{p.stem}_as_printed") for p in DEPART}
    assert names == set(PRINTED)
    assert DEPART


@pytest.mark.parametrize(
    "path", DEPART, ids=lambda p: f"{p.parts[-3]}-{p.stem}"
)
def test_the_print_differs_by_the_block_alone(path):
    """Same keys, other values, a reason at each; and the folder's name."""
    printed = path.with_stem(f"{path.stem}_as_printed")
    own = cut(path, DEPARTURES)
    theirs = cut(
        printed, f"# As printed: the keys by which {path.name} departs"
    )
    (line,) = [x for x in own[1] if x.startswith("output_folder: ")]
    folder = re.search(r"results/(\w+)/", line)[1]
    named = f"results/{folder}_as_printed/"
    assert f"output_folder: !ref {named}" in "\n".join(theirs[1])
    back = [line.replace(named, f"results/{folder}/") for line in theirs[1]]
    assert back == own[1]
    blocks = [parsed("\n".join(found[0])) for found in (own, theirs)]
    assert list(blocks[0]) == list(blocks[1])
    assert all(blocks[0][key] != blocks[1][key] for key in blocks[0])
    for row in own[0]:
        assert row.startswith("#") or re.search(r"\S  # \w", row), row
