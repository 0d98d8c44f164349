"""A hparams file is read as HyperPyYAML reads it, in less time."""

import io

import pytest
from hyperpyyaml import resolve_references

from speechbrain_ser.experiment.hparams import (
    nodes,
    parsed,
    peek,
    plain,
    resolved,
    text_of,
)
from speechbrain_ser.experiment.identity import without_tags
from speechbrain_ser.utils.errors import InputError
from tests.recipes.helpers import ROOT

HPARAMS = sorted((ROOT / "recipes").glob("*/hparams/*.yaml"))
OVERRIDES = (
    "",
    'seed: 7\noutput_folder: "a: #b\\u00e9"\nlabels: ["on", 1e-5, null]',
    "seed: 7\noutput_folder: 'a #b'\ncorpus_name: null",
    'seed: 007\noutput_folder: "1e-5"\nlabels: [on, "off", 1e-5]',
)


@pytest.mark.parametrize("path", HPARAMS, ids=lambda p: "-".join(p.parts[-3:]))
@pytest.mark.parametrize("overrides", OVERRIDES, ids=range(len(OVERRIDES)))
def test_it_is_read_as_hyperpyyaml_does(path, overrides):
    """Values, tags, and which objects are one; also the second time."""
    text = resolve_references(
        io.StringIO(text_of(path)), overrides, overrides_must_match=True
    ).read()
    expected = parsed(text)
    for _ in range(2):
        found = nodes(str(path), overrides)
        assert without_tags(found) == without_tags(expected)
        assert repr(peek(str(path), overrides)) == repr({**peek_of(expected)})
        assert shared(found) == shared(expected)


def peek_of(root):
    """The plain settings of nodes."""
    from speechbrain_ser.experiment.hparams import is_plain, plain

    return {k: plain(v) for k, v in root.items() if is_plain(v)}


def shared(root):
    """The pairs of keys whose values are one object of the file."""
    kept = [k for k, v in root.items() if isinstance(v, dict)]
    return [
        (a, b, name)
        for a in kept
        for b in kept
        for name, value in root[b].items()
        if isinstance(value, dict) and value is root[a]
    ]


def test_an_override_is_not_changed_by_a_file(tmp_path):
    """A reference in it is of the file that it is used with."""
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("a: 1\nb: null\n")
    two.write_text("a: 2\nb: null\n")
    overrides = "b: [!ref <a>, 5]"
    for path, value in ((one, 1), (two, 2), (one, 1)):
        assert peek(str(path), overrides)["b"] == [value, 5]


@pytest.mark.parametrize("overrides", ["word", "[1, 2]", "a: {b: 1}\na: 2"])
def test_overrides_that_are_none_are_one_sentence(overrides, tmp_path):
    """Whatever YAML makes of them."""
    path = tmp_path / "a.yaml"
    path.write_text("a: 1\n")
    with pytest.raises(InputError, match="a.yaml"):
        peek(str(path), overrides)


@pytest.mark.parametrize("value", ["NaN", ".nan", "012", "1_000", "on", "é"])
def test_an_override_is_yaml(value):
    """Also where a reader of JSON would take it for something else."""
    overrides = f"a: {value}"
    found = resolved("a: 1", overrides)["a"]
    assert repr(plain(found)) == repr(plain(parsed(overrides)["a"]))
