"""One object of a hparams file is built as HyperPyYAML builds it."""

import functools
import io
import types

import pytest
from hyperpyyaml import load_hyperpyyaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from speechbrain_ser.experiment import alone
from speechbrain_ser.experiment.alone import built, load_alone
from speechbrain_ser.experiment.hparams import is_plain_in, resolved, text_of
from tests.experiment.test_hparams import HPARAMS

THING = "thing: !name:collections.OrderedDict\n"


def text_alone(text, overrides, name, plain_alone):
    """The YAML text of an object."""
    found = resolved(text, overrides)[name]
    node = CommentedMap(
        (k, v) for k, v in found.items() if not plain_alone or is_plain_in(v)
    )
    node.yaml_set_ctag(found.tag)
    out = io.StringIO()
    YAML(typ="rt").dump({name: node}, out)
    return out.getvalue()


def by_text(text, overrides, name, plain_alone):
    """The object of the YAML text that is written of it."""
    alone = text_alone(text, overrides, name, plain_alone)
    return load_hyperpyyaml(alone)[name]


def told(value):
    """An object as words: of partials what they call, and with what."""
    if isinstance(value, functools.partial):
        return value.func, told(value.args), told(value.keywords)
    if value is None or isinstance(value, (str, int, float)):
        return type(value), repr(value)
    if isinstance(value, dict):
        return type(value), [(k, told(v)) for k, v in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value), [told(item) for item in value]
    if isinstance(value, (types.FunctionType, type)):
        return value
    return type(value), told(getattr(value, "__dict__", None) or repr(value))


@pytest.mark.parametrize("path", HPARAMS, ids=lambda p: "-".join(p.parts[-3:]))
def test_of_every_recipe(path, monkeypatch):
    """Those that a plan asks for; no text is written, but to call what it must."""
    text = text_of(path)
    overrides = 'seed: 7\noutput_folder: "on"'
    expected = {
        name: told(by_text(text, overrides, name, name == "brain"))
        for name in ("brain", "corpus", "reader", "experiment")
        if f"\n{name}: !" in text
    }
    assert expected
    for name, value in expected.items():
        one = name, name == "brain"
        with monkeypatch.context() as patch:
            if "!apply:" not in text_alone(text, overrides, *one):
                patch.setattr(alone, "load_hyperpyyaml", None)
            assert told(load_alone(str(path), overrides, *one)) == value


@pytest.mark.parametrize(
    "arguments",
    [
        "  a: [1, 1e-5, on, '1', null, ~, yes, 0x1F, {b: 2.5}]\n",
        "  a: (1, 2)\n  b: '(1, 2)'\n",
        "  a: !tuple (3, 4)\n",
        "  a: !apply:math.sqrt [4]\n",
        "  a: !new:collections.Counter\n    b: 3\n  c: !name:math.sqrt\n",
        "  a: &one {b: 2}\n  c: *one\n",
        "  a: 2020-01-02\n  b: !new:collections.deque [[1, 2]]\n",
    ],
)
def test_of_any_arguments(arguments):
    """Numbers, words, tuples, calls, aliases: the same types and values."""
    found = built(THING + arguments, "", "thing", False)
    expected = by_text(THING + arguments, "", "thing", False)
    assert told(found) == told(expected)
    values = found.keywords, expected.keywords
    same = [len({id(v[k]) for k in v}) for v in values]
    assert same[0] == same[1]


def test_what_is_wrong_is_said_as_hyperpyyaml_says_it():
    """A class that there is not, an argument that it does not take."""
    with pytest.raises(ImportError, match="no such entity as nowhere.Thing"):
        built("thing: !name:nowhere.Thing\n  a: 1\n", "", "thing", False)
    text = "thing: !new:collections.deque\n  colour: red\n"
    with pytest.raises(TypeError, match="Invalid argument to class coll"):
        built(text, "", "thing", False)
