"""Tests that hold what must never break are not lost when files move."""

import ast
import collections
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
LISTED = ROOT / "tools" / "guarded_tests.txt"
KINDS = {"leaks", "permutation", "padding", "DDP", "kills"}


def read_guarded():
    """Reads the list.

    Returns
    -------
    dict
        Kind to test name to how many there are at least.
    """
    guarded, kind = {}, None
    for line in LISTED.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            kind = line.strip("[]")
            guarded[kind] = {}
        elif line and not line.startswith("#"):
            name, _, number = line.partition(" ")
            guarded[kind][name] = int(number or 1)
    return guarded


def names_in(text):
    """Names the test functions of a file, one in a class as well."""
    return [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]


@pytest.fixture(scope="module")
def found():
    """Counts the test functions anywhere below tests/."""
    return collections.Counter(
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in names_in(path.read_text(encoding="utf-8"))
    )


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_all_are_there(kind, found):
    """As often as the list says."""
    listed = read_guarded()[kind]
    assert len(listed) > 10
    lost = {name: n for name, n in listed.items() if found[name] < n}
    assert not lost


def test_the_list_has_these_kinds():
    """A heading that is misspelt would guard nothing."""
    assert set(read_guarded()) == KINDS


def test_a_test_in_a_class_counts_and_other_functions_do_not():
    """Worked by hand."""
    text = "class A:\n def test_a(self): 0\ndef test_b(): 0\ndef c(): 0"
    assert sorted(names_in(text)) == ["test_a", "test_b"]
