"""The developers' commands: names are translated, differences are found."""

import pathlib

import numpy as np
import pytest
import torch
import yaml

ROOT = pathlib.Path(__file__).parents[1]
HELD = {
    "parts": {
        "validation": "valid",
        "evaluation": "test",
        "ipr": {"precise": "train"},
        "lpmn": {"evaluation_*": "test_*"},
    },
    "settings": {"taught": "filter", "corpus": "corpus_name"},
    "metrics": {"watched": "last"},
    "values": {"system": {"ipr": "full"}},
    "tensors": {"pool": "mapping.pool"},
    "files": {"train.json": "labelled.json"},
    "scripts": {"recipes/a.py": "recipes/b.py"},
    "ignored": {"keys": ["seconds", "files.codebook"], "files": ["*.log"]},
}


@pytest.fixture(autouse=True)
def tools(monkeypatch):
    """Lets the tests import the tools, as Python does for a script."""
    monkeypatch.syspath_prepend(str(ROOT / "tools"))


def names(method="ipr"):
    """The map above, of a method."""
    import names

    return names.Names(HELD, method)


def test_a_command_is_translated():
    """Script, settings, values and files; what is not in the map stays."""
    line = (
        "recipes/a.py h.yaml --taught all --system ipr --lr 1 --x o/train.json"
    )
    made = "recipes/b.py h.yaml --filter all --system full --lr 1 --x o/labelled.json"
    assert names().command(line.split()) == made.split()


def test_keys_are_translated_where_they_are_names():
    """Settings below `overrides`; parts and metrics elsewhere."""
    old = {
        "corpus": "mini",
        "overrides": {"corpus": "mini", "precise": 1},
        "metrics": {"precise": {"n": 1}, "validation": {"n": 2}},
        "watched": [{"seconds": 1.5, "UA": 0.5}],
        "files": {"codebook": "abc", "labels": "def"},
    }
    assert names().tree(old) == {
        "corpus": "mini",
        "overrides": {"corpus_name": "mini", "precise": 1},
        "metrics": {"train": {"n": 1}, "valid": {"n": 2}},
        "last": [{"UA": 0.5}],
        "files": {"labels": "def"},
    }


def test_a_method_has_names_of_its_own():
    """And the beginning of a name may stand for many."""
    assert names("dann").key("precise") == "precise"
    assert names("lpmn").key("evaluation_random_60") == "test_random_60"
    assert names("ipr").key("evaluation_random_60") == "evaluation_random_60"
    assert names().tensor("pool.weight") == "mapping.pool.weight"
    assert names().tensor("pooling.weight") == "pooling.weight"


def test_tables_are_translated_byte_for_byte():
    """Columns that are ignored go, parts are called otherwise."""
    from compare_files import read_csv

    text = "id,part,seconds\na,precise,1\nb,evaluation,2\n"
    assert read_csv(text, names()) == ["id,part", "a,train", "b,test", ""]
    odd = 'id,"part"\n"a",x\n'
    assert read_csv(odd, names()) == odd.split("\n")


@pytest.mark.parametrize(
    "old, new, said",
    [
        (0.1 + 0.2, 0.3, "it: 0.30000000000000004 -> 0.3"),
        (1, 1.0, "it: 1 -> 1.0"),
        ({"a": [1, 2]}, {"a": [1, 3]}, "a[1]: 2 -> 3"),
        ({"a": 1}, {"b": 1}, "a is in OLD alone (1)"),
        ([1], [1, 2], "it: list of 1 -> list of 2"),
        (
            {"w": torch.tensor([[0.0, 1.0]])},
            {"w": torch.tensor([[-0.0, 1.0]])},
            "w[0]: 0.0 -> -0.0 (1 of 2 elements differ)",
        ),
        (np.zeros(2), np.zeros(3), "it: float64 (2,) -> float64 (3,)"),
    ],
)
def test_the_first_difference_is_named(old, new, said):
    """With its place and its numbers, to the last bit."""
    from compare_files import first_difference

    assert first_difference(old, new) == said


def test_equal_values_have_no_difference():
    """Not a number is itself here."""
    from compare_files import first_difference

    value = {"a": [float("nan"), torch.tensor(float("nan"))], "b": ("x", None)}
    assert first_difference(value, dict(reversed(value.items()))) is None


def test_files_have_the_same_names_in_both(tmp_path):
    """Whatever clock and digest say; what is ignored is not there."""
    from compare_files import files_of

    for name in (
        "save/CKPT+2026-01-02+00/a.ckpt",
        "save/CKPT+2026-01-01+00/a.ckpt",
        "stages/labels-0123456789abcdef/x.npy",
        "run.log",
        "train.json",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    found = files_of(str(tmp_path), names())
    assert sorted(found) == [
        "labelled.json",
        "save/checkpoint1/a.ckpt",
        "save/checkpoint2/a.ckpt",
        "stages/labels/x.npy",
    ]
    assert "2026-01-01" in found["save/checkpoint1/a.ckpt"]


def test_an_old_text_is_found_however_its_lines_break(tmp_path):
    """And a mutant is taken back."""
    from mutant_copies import find, mutated

    path = tmp_path / "speechbrain_ser" / "lobes" / "a.py"
    path.parent.mkdir(parents=True)
    path.write_text("x = f(\n    1,\n    2\n)\ny = f(3)\n")
    mutant = {"old": "1, 2", "new": "1, 4"}
    assert find(str(tmp_path), mutant["old"]) == [str(path)]
    before = path.read_text()
    with mutated(str(tmp_path), str(path), mutant):
        assert path.read_text() == "x = f(\n    1, 4\n)\ny = f(3)\n"
    assert path.read_text() == before
    assert len(find(str(tmp_path), "f(")) == 2


def test_the_written_files_are_whole():
    """Each mutant changes something that is there; maps have known sections."""
    from mutant_copies import find
    from names import read_names

    mutants = yaml.safe_load((ROOT / "tools" / "mutants.yaml").read_text())
    assert len({mutant["name"] for mutant in mutants}) == len(mutants) >= 60
    for mutant in mutants:
        assert set(mutant) == {"name", "old", "new", "tests"}
        assert mutant["old"].split() != mutant["new"].split()
        assert len(find(str(ROOT), mutant["old"])) == 1, mutant["name"]
    assert read_names(ROOT / "tools" / "names.yaml")
