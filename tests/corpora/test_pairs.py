"""Two corpora: classes by value, which is source and which is target."""

import functools

import pytest

from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.pairs import TASKS, read_pair, two_classes
from speechbrain_ser.corpora.recola import read_recola
from speechbrain_ser.utils.errors import InputError
from tests.references import dann as reference

THRESHOLDS = {"recola": 0.0, "iemocap": 2.5}


@pytest.mark.parametrize(
    "dimension, words",
    [("arousal", ["low", "high"]), ("valence", ["negative", "positive"])],
)
@pytest.mark.parametrize(
    "threshold, given",
    [
        (2.5, [1, 2.4999, 2.5, 2.5001, 5]),
        (0.0, [-1, -1e-9, 0.0, -0.0, 0, 1e-9, 1]),
    ],
)
def test_upper_class_begins_above_the_threshold(
    dimension, words, threshold, given
):
    """[1, 2.5] and (2.5, 5]; [-1, 0] and (0, 1]."""
    other = {"arousal": "valence", "valence": "arousal"}[dimension]
    annotation = {
        str(i): {dimension: value, other: -value, "emotion": "sad", "wav": "w"}
        for i, value in enumerate(given)
    }
    before = {key: dict(entry) for key, entry in annotation.items()}
    made = two_classes(annotation, dimension, threshold)
    assert list(made) == list(annotation)
    for key, entry in made.items():
        value = annotation[key][dimension]
        word = words[reference.binary(value, threshold)]
        assert entry == before[key] | {"emotion": word}
    # what was given is shared between tasks
    assert annotation == before


def test_tasks_are_the_papers():
    """Other dimensions have no classes."""
    assert TASKS == {
        "arousal": ["low", "high"],
        "valence": ["negative", "positive"],
    }
    with pytest.raises(KeyError):
        two_classes({"a": {"dominance": 3}}, "dominance", 2.5)


def pair(direction="rec2iem", task="arousal", **more):
    """Two corpora of two utterances, read from nowhere."""
    corpora = {
        "recola": lambda: {"r": {"arousal": 0.5, "valence": 0.0}},
        "iemocap": lambda: {"i": {"arousal": 2.5, "valence": 2.6}},
    }
    given = {"corpora": corpora, "thresholds": THRESHOLDS} | more
    return read_pair(direction=direction, task=task, **given)


@pytest.mark.parametrize("direction", ["rec2iem", "iem2rec"])
@pytest.mark.parametrize(
    "task, words",
    [("arousal", ("high", "low")), ("valence", ("negative", "positive"))],
)
def test_each_corpus_has_its_threshold(direction, task, words):
    """Whichever is the source."""
    read = pair(direction, task)
    names = ["r", "i"] if direction == "rec2iem" else ["i", "r"]
    assert [list(read[side]) for side in ("source", "target")] == [
        names[:1],
        names[1:],
    ]
    found = read["source"] | read["target"]
    assert (found["r"]["emotion"], found["i"]["emotion"]) == words


def test_unfit_settings_are_refused_before_anything_is_read():
    """With those that there are."""

    def read():
        """Is not called."""
        raise AssertionError

    corpora = {"recola": read, "iemocap": read}
    with pytest.raises(InputError, match="--direction is 'rec': give one of r"):
        pair("rec", corpora=corpora)
    for wrong in ("iem2iem", "recola2iemocap", "rec2mer"):
        with pytest.raises(InputError, match="give one of rec2iem, iem2rec"):
            pair(wrong, corpora=corpora)
    with pytest.raises(InputError, match="--direction is None: give a word"):
        pair(None, corpora=corpora)
    with pytest.raises(InputError, match="--task is 'x': give one of arousal"):
        pair(task="x", corpora=corpora)
    with pytest.raises(InputError, match="--thresholds.recola is '0': give a"):
        pair(thresholds={"recola": "0", "iemocap": 2.5}, corpora=corpora)


@pytest.mark.parametrize("name", ["recola", "iemocap"])
@pytest.mark.parametrize("folder", ["nowhere", None])
def test_errors_name_the_setting_of_the_corpus(
    name, folder, mini_recola_folder, mini_folder, tmp_path
):
    """Not data_folder, which there is none of."""
    folders = {"recola": mini_recola_folder, "iemocap": mini_folder}
    folders[name] = folder and str(tmp_path / folder)
    corpora = {
        "recola": functools.partial(read_recola, folders["recola"]),
        "iemocap": functools.partial(
            read_iemocap, data_folder=folders["iemocap"], labels=None
        ),
    }
    with pytest.raises(InputError) as error:
        pair(corpora=corpora)
    text = str(error.value)
    assert text.startswith(f"--{name}_folder ")
    assert "data_folder" not in text and "----" not in text


def test_from_a_hparams_file(mini_recola_folder, mini_folder):
    """As the recipe names it."""
    from hyperpyyaml import load_hyperpyyaml

    read = load_hyperpyyaml(
        f"""
        corpus: !name:speechbrain_ser.corpora.pairs.read_pair
            corpora:
                recola: !name:speechbrain_ser.corpora.recola.read_recola
                    data_folder: {mini_recola_folder}
                iemocap: !name:speechbrain_ser.corpora.iemocap.read_iemocap
                    data_folder: {mini_folder}
                    labels: null
            thresholds:
                recola: 0.0
                iemocap: 2.5
            direction: iem2rec
            task: valence
        """
    )["corpus"]()
    assert [len(part) for part in read.values()] == [160, 48]
    words = {e["emotion"] for part in read.values() for e in part.values()}
    assert words == set(TASKS["valence"])
