"""The corpus that is asked for: its protocol, classes, name, and refusals."""

import dataclasses
import functools

import pytest

from speechbrain_ser.corpora.protocols.open_corpora import (
    PRECISE_AND_OTHERS,
    SPEAKERS_OUT,
)
from speechbrain_ser.experiment.any_corpus import AnyCorpus
from speechbrain_ser.experiment.any_two import AnyTwo, found_protocol
from speechbrain_ser.utils.errors import InputError

FOUR = ["anger", "happiness", "neutral", "sadness"]
OPEN = {"labels": None, "corpus_name": None, "protocol": None}


def listed(split=None):
    """What a manifest's reader gives."""
    more = {} if split is None else {"split": split}
    return {
        f"{word}{i}": {"wav": f"{word}{i}", "emotion": word, "speaker": i}
        | more
        for i in range(5)
        for word in ("yes", "no")
    }


def make(corpus="emodb", manifest=None, protocol=None, read=listed, **more):
    """An experiment on it."""
    more = {"protocols": SPEAKERS_OUT, "labels": ["a", "b"]} | more
    return AnyCorpus(
        corpus_word=corpus,
        manifest=manifest,
        protocol_word=protocol,
        corpus_name=None,
        output_folder="out",
        seed=1,
        corpus=functools.partial(read),
        mini={"data_folder": list},
        **more,
    )


@pytest.mark.parametrize("corpus", ["emodb", "ravdess", "nemo"])
@pytest.mark.parametrize("protocols", [SPEAKERS_OUT, PRECISE_AND_OTHERS])
def test_the_first_protocol_is_the_default(corpus, protocols):
    """With the classes that it reads; any other one of the corpus by name."""
    experiment = make(corpus, protocols=protocols)
    assert experiment.protocol is protocols[corpus][0]
    filled = experiment.fill_in(OPEN, None)
    assert sorted(filled["labels"]) == FOUR
    names = {"emodb": "EMO-DB", "ravdess": "RAVDESS", "nemo": "nEMO"}
    assert filled["corpus_name"] == names[corpus]
    for protocol in protocols[corpus]:
        chosen = make(corpus, protocol=protocol.name, protocols=protocols)
        assert chosen.protocol is protocol
        found = chosen.fill_in(OPEN, None)["labels"]
        assert found == protocol.reading["labels"]


def test_emobox_has_eight_classes():
    """Its folds are read with them."""
    experiment = make("ravdess", protocol="ravdess-emobox@1")
    assert len(experiment.fill_in(OPEN, None)["labels"]) == 8


def test_a_manifest_gives_its_words_and_name():
    """And its own split counts, where it has the column."""
    filled = make(None, "here/mine.csv").fill_in(OPEN, None)
    assert filled == {"corpus_name": "mine", "labels": ["no", "yes"]}
    read = functools.partial(listed, "train")
    filled = make(None, "here/mine.csv", read=read).fill_in(OPEN, None)
    assert filled["protocol"] == "csv-split@1"
    given = OPEN | {"protocol": "csv-loso@1"}
    assert "protocol" not in make(None, "a.csv", read=read).fill_in(given, None)


def test_only_the_protocols_own_settings_count():
    """A key of another corpus's protocol is passed over."""
    settings = {"enrolment": 3, "unlabelled_share": 0.5}
    experiment = make("emodb", protocol_settings=settings)
    assert experiment.protocol_settings == {"enrolment": 3}


def test_without_a_corpus_a_mini_one_takes_its_place():
    """As soon as one is asked for, it does not."""
    assert make(None).mini and make(None).mini_settings == {"corpus": "emodb"}
    assert not make("emodb").mini and not make(None, "a.csv").mini


def test_what_is_transductive_is_said():
    """Each speaker on himself; neither enrolment nor the train part."""
    for by, said in (("train", 0), ("enrolment", 0), ("speaker", 1)):
        facts = make(standardise_by=by).facts({"system": "x", "fold": 1})
        assert facts["transductive"] == bool(said)
        assert facts["standardise_by"] == by
    assert "standardise_by" not in make().facts({"system": "x", "fold": 1})


def test_unfit_choices_are_refused():
    """With those that there are."""
    with pytest.raises(InputError, match="for EMO-DB: give one of emodb-loso"):
        make("emodb", protocol="ravdess-loso@1")
    with pytest.raises(InputError, match="--corpus is 'emod': give one of emo"):
        make("emod")
    with pytest.raises(InputError, match="give --enrolment 10, or"):
        make(standardise_by="enrolment").check_settings({"n_classes": 2})
    settings = {"enrolment": 10}
    make(standardise_by="enrolment", protocol_settings=settings).check_settings(
        {"n_classes": 2}
    )


def test_two_are_called_by_both():
    """For the report; a mini pair where nothing is asked for."""
    more = dict(output_folder="out", labels=["low", "high"], seed=1)
    none = dict.fromkeys(("manifest", "target_manifest", "corpus_name"))
    two = AnyTwo("emodb", "nemo", mini={"data_folder": list}, **none, **more)
    filled = two.fill_in({"corpus_name": None}, None)
    assert filled == {"corpus_name": "EMO-DB to nEMO"} and not two.mini
    nothing = AnyTwo(None, None, mini={"data_folder": list}, **none, **more)
    assert nothing.mini and set(nothing.mini_settings.values()) == {
        "emodb",
        "ravdess",
    }


@dataclasses.dataclass
class Named:
    """A protocol, as far as it matters here."""

    name: str
    transductive: bool = False


def test_two_have_the_protocol_that_is_asked_for():
    """The first by default; who is standardised by himself was listened to."""
    known = [{"dann": Named("a@1")}, {"dann": Named("b@1")}]
    assert found_protocol(known, None) is known[0]
    assert found_protocol(known, "b@1") is known[1]
    with pytest.raises(InputError, match="is c@1, .* give one of a@1, b@1"):
        found_protocol(known, "c@1")
    more = dict(output_folder="out", labels=["low", "high"], seed=1)
    more |= dict.fromkeys(("manifest", "target_manifest", "corpus_name"))
    for by in ("corpus", "speaker", "train"):
        two = AnyTwo(
            "emodb", "nemo", standardise_by=by, protocols=known, **more
        )
        assert two.protocol is known[0]
        assert two.transductive({"system": "dann"}) == (by == "speaker")
