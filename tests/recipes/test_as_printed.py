"""What departs from a paper's print stands in one block, and can be undone."""

import re

import pytest
import yaml

from tests.recipes.helpers import ROOT

FILES = sorted((ROOT / "recipes").glob("*/hparams/*.yaml"))
DEPARTURES = (
    "# Departures: what is changed of the paper's print or added to it, each "
    "with its reason"
)
PRINTED = "# As printed: the keys by which {} departs"
OWN = ("output_folder", "compared_folder")  # where a file's runs lie


def name_of(path):
    """Corpus and file."""
    return f"{path.parts[-3]}-{path.stem}"


def halves(path, heading):
    """Returns the lines of the block under a heading, and all others."""
    head, _, text = path.read_text().partition("\n\n")
    assert head.startswith("#"), "no comment says what the file is"
    block, rest, inside = [], [], False
    for line in text.splitlines():
        inside = line == heading or (inside and line != "")
        if inside:
            block.append(line)
        elif line.split(":")[0] not in OWN:
            rest.append(line)
    return block[1:], rest


def values(block):
    """Returns the keys of a block in order, with their values."""
    return yaml.safe_load("\n".join(block)) or {}


def printed(path):
    """Returns the path of a file's print."""
    return path.with_name(f"{path.stem}_as_printed.yaml")


PAIRS = [path for path in FILES if printed(path).exists()]


@pytest.mark.parametrize("path", PAIRS, ids=name_of)
def test_only_the_block_is_another(path):
    """Same keys there, other values; same lines elsewhere."""
    block, rest = halves(path, DEPARTURES)
    other, same = halves(printed(path), PRINTED.format(path.name))
    assert rest == same
    ours, theirs = values(block), values(other)
    assert list(ours) == list(theirs) and ours
    assert not [key for key in ours if ours[key] == theirs[key]]
    for line in block:
        if re.match(r"\w+:", line):
            before = block[: block.index(line)]
            reason = before and before[-1].startswith("#")
            assert reason or "  # " in line, f"no reason for {line}"


def test_each_block_has_its_print():
    """And each print its file."""
    blocks = {path for path in FILES if DEPARTURES in path.read_text()}
    assert blocks == set(PAIRS)
    prints = {p for p in FILES if p.stem.endswith("_as_printed")}
    assert prints == {printed(path) for path in PAIRS}
    assert len(prints) > 1
