"""What all readers say of their folder and settings."""

import pytest

from speechbrain_ser.corpora.cmu_mosei import read_cmu_mosei
from speechbrain_ser.corpora.emodb import read_emodb
from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.mer2023 import read_mer2023
from speechbrain_ser.corpora.nemo import read_nemo
from speechbrain_ser.corpora.ravdess import read_ravdess
from speechbrain_ser.corpora.recola import read_recola
from speechbrain_ser.corpora.release import count_table, others
from speechbrain_ser.corpora.unlabelled import read_folder
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import NOTHING, declared

READERS = {
    read_cmu_mosei: ("data_folder", "labels_file"),
    read_emodb: ("data_folder",),
    read_iemocap: ("data_folder",),
    read_mer2023: ("data_folder", "audio_folder"),
    read_nemo: ("data_folder",),
    read_ravdess: ("data_folder",),
    read_recola: ("data_folder",),
    read_folder: ("audio_folder",),
}


@pytest.mark.parametrize("read, paths", READERS.items())
def test_a_reader_names_the_folder_that_it_needs(read, paths, tmp_path):
    """Not given, no path at all, not there, a file."""
    name = paths[0]
    for value in (None, 3, True, [str(tmp_path)]):
        with pytest.raises(InputError) as error:
            read(value)
        text = str(error.value)
        assert text.startswith(f"--{name} is {value!r}: give ")
    file = tmp_path / "file"
    file.write_text("")
    for value in (tmp_path / "nowhere", str(file)):
        with pytest.raises(InputError, match=f"--{name} '.*' is no folder: gi"):
            read(value)


@pytest.mark.parametrize("read, paths", READERS.items())
def test_every_argument_is_declared_and_paths_change_nothing(read, paths):
    """Every other one changes what is read."""
    found = declared(read)
    code = read.__wrapped__.__code__
    assert list(found) == list(code.co_varnames[: code.co_argcount])
    counts = {name: setting.counts for name, setting in found.items()}
    assert {name for name in counts if counts[name] == NOTHING} == set(paths)


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"merge_excited": 1}, "--merge_excited is 1: give True or False"),
        ({"improvised_only": "yes"}, "--improvised_only is 'yes': give True"),
        ({"labels": "ang"}, "--labels is 'ang': give a list in brackets"),
        ({"labels": ["ang", "ang"]}, "give each word once"),
        ({"labels": ["exc"]}, r"merged into hap\)$"),
    ],
)
def test_settings_of_iemocap(mini_folder, settings, text):
    """One sentence for each."""
    with pytest.raises(InputError, match=text):
        read_iemocap(mini_folder, **settings)


def test_others_names_five():
    """Enough to begin with."""
    assert others(list("abcdefg"), "bad") == (
        " (7 more are bad: 'a', 'b', 'c', 'd', 'e', ...)"
    )


def test_columns_of_the_table_of_counts():
    """As wide as the longest class."""
    text = count_table({"neutral": 1, "sad": 12345}, {"neutral": 2, "sad": 3})
    assert text.split("\n") == [
        "class    found  expected",
        "neutral      1         2",
        "sad      12345         3",
    ]
