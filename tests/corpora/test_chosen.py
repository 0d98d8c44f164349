"""One corpus of several, or a manifest: what the settings mean."""

import pytest

from speechbrain_ser.corpora.chosen import check_choice, read_chosen, renamed
from speechbrain_ser.utils.errors import InputError


def tell(name):
    """A reader that returns what it is given."""
    return lambda *given: {name: given}


def fail(*given):
    """A reader that refuses its folder."""
    raise InputError("--data_folder 'x' is no folder: give --data_folder.")


CORPORA = {"emodb": tell("emodb"), "nemo": fail}
TARGET = {
    name: f"target_{name.removeprefix('data_')}"
    for name in ("corpus", "data_folder", "manifest")
}


def choose(**settings):
    """Reads what some settings mean."""
    return read_chosen(CORPORA, tell("manifest"), **settings)


def test_a_corpus_is_read_with_its_labels():
    """Positional, as every reader takes them."""
    found = choose(corpus="emodb", data_folder="here", labels=["anger"])
    assert found == {"emodb": ("here", ["anger"])}


def test_a_folder_of_several_corpora():
    """Each has its word for a name, wherever that stands."""
    found = choose(corpus="emodb", data_folder="all/{corpus}/x", labels=None)
    assert found == {"emodb": ("all/emodb/x", None)}


def test_a_manifest_is_read_with_its_settings():
    """All four; a corpus has none of them but the labels."""
    more = {"labels": ["x"], "map": "a=x", "data_root": "d"}
    found = choose(manifest="my.csv", **more)
    assert found == {"manifest": ("my.csv", ["x"], "a=x", "d")}
    found = choose(corpus="emodb", data_folder="here", **more)
    assert found == {"emodb": ("here", ["x"])}


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({}, "no corpus is named: give --corpus (emodb, nemo) with"),
        ({"data_folder": "x"}, "give --corpus (emodb, nemo) that lies there"),
        (
            {"corpus": "iemocap"},
            "--corpus is 'iemocap': give one of emodb, nemo",
        ),
        ({"corpus": "emodb"}, "give its folder by --data_folder"),
        (
            {"corpus": "emodb", "manifest": "my.csv"},
            "--manifest 'my.csv' and --corpus 'emodb' are given",
        ),
        (
            {"data_folder": "x", "manifest": "my.csv"},
            "--manifest 'my.csv' and --data_folder 'x' are given",
        ),
        ({"corpus": "nemo", "data_folder": "x"}, "--data_folder 'x' is no"),
        ({"corpus": 3}, "--corpus is 3: give a word"),
    ],
)
def test_what_is_unclear_is_refused(settings, reason):
    """By one sentence, also under other names of the settings."""
    with pytest.raises(InputError) as error:
        choose(**settings)
    assert reason in str(error.value) and "\n" not in str(error.value)
    if settings.get("corpus") == 3:
        return
    with pytest.raises(InputError) as error:
        choose(**settings, names=TARGET)
    assert str(error.value).count("--target_") >= 1
    for name in TARGET:
        assert f"--{name} " not in str(error.value)
        assert renamed(reason, TARGET) in str(error.value)


def test_the_choice_is_checked_before_anything_is_read():
    """By names alone."""
    assert check_choice(CORPORA, "emodb", "x", None) is None
    assert check_choice(CORPORA, None, None, "my.csv") is None
    with pytest.raises(InputError, match="is 'x': give one of"):
        check_choice(CORPORA, "x", "x", None)
