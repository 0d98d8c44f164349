"""The second version of the mini corpus: its ambiguous speech."""

import os

import numpy as np
import pytest
import soundfile

from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.mini import ambiguous_iemocap
from speechbrain_ser.corpora.mini.ambiguous_iemocap import (
    AMBIGUOUS,
    DECAY,
    ECHO,
    FADED,
    NOISE,
    PRECISE,
    draw_doubts,
    draw_weights,
    in_room,
    mini_ambiguous_iemocap,
    say,
)
from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
from speechbrain_ser.corpora.mini.voice import Speaker, synthesize

MAN = Speaker("m", "M", f0=118, formants=1.0)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """Makes a small one, which the tests only read."""
    folder = tmp_path_factory.mktemp("cache")
    return mini_ambiguous_iemocap(folder, utterances_per_speaker=4)


def test_it_lies_beside_the_first_and_is_read_like_it(release):
    folder = os.path.dirname(os.path.dirname(release))
    first = mini_iemocap(folder, utterances_per_speaker=4)
    assert sorted(os.listdir(folder)) == [
        "mini_iemocap-v1-seed0-4",
        "mini_iemocap-v3-ambiguous-seed0-4",
    ]
    one, other = read_iemocap(first), read_iemocap(release)
    assert len(other) >= 35
    both = one.keys() & other.keys()
    assert {key: one[key]["emotion"] for key in both} == {
        key: other[key]["emotion"] for key in both
    }


def test_same_seed_gives_same_bytes(release, tmp_path):
    again = mini_ambiguous_iemocap(tmp_path, utterances_per_speaker=4)
    for key, entry in read_iemocap(again).items():
        held = read_iemocap(release)[key]
        assert held["votes"] == entry["votes"]
        with open(held["wav"], "rb") as one, open(entry["wav"], "rb") as other:
            assert one.read() == other.read()


def test_annotators_doubt_what_fades():
    """Precise: one emotion; else an emotion fades, and some disagree."""
    for index in range(40):
        rng = np.random.default_rng(index)
        weights = draw_weights(index, MAN, rng)
        label, *others = weights
        ballots = draw_doubts(weights, rng)
        if others:
            assert 0.85 <= weights[label] <= 1 and others[0] in FADED[label]
            assert any(ballot != [label] for ballot in ballots)
        else:
            assert sum(ballot == [label] for ballot in ballots) >= 2


@pytest.mark.parametrize(
    "weights, factor", [({"ang": 1.0}, PRECISE), ({"ang": 0.9}, AMBIGUOUS)]
)
def test_how_strong_an_expression_is(weights, factor, monkeypatch):
    """Of one voice; what is ambiguous is weaker and heard from farther."""
    if factor == AMBIGUOUS:
        weights = weights | {"neu": 0.1}
    monkeypatch.setattr(
        ambiguous_iemocap, "in_room", lambda samples, rng: samples
    )
    expressive = Speaker("m", "M", 118, 1.0, expression=factor)
    expected = synthesize(weights, expressive, np.random.default_rng(1))
    said = say(weights, MAN, np.random.default_rng(1))
    np.testing.assert_array_equal(said, expected)
    assert AMBIGUOUS < PRECISE


def test_only_ambiguous_speech_is_in_the_room(monkeypatch):
    monkeypatch.setattr(ambiguous_iemocap, "in_room", lambda samples, rng: 7)
    rng = np.random.default_rng(0)
    assert say({"sad": 0.9, "neu": 0.1}, MAN, rng) == 7
    assert len(say({"sad": 1.0}, MAN, rng)) > 7


def test_the_room():
    """A click of a second's silence: its echo, its noise, its level."""
    click = np.zeros(16000)
    click[2000] = 0.5
    heard = [in_room(click, np.random.default_rng(k)) for k in range(30)]
    power = np.mean([(x / np.abs(x).max()) ** 2 for x in heard], axis=0)
    quiet = power[:1900].mean()  # noise alone, before the click
    echo = power[2001 : 2001 + int(DECAY * 16000)] - quiet
    # 10 ** (-6 t / DECAY) of the energy is left behind t
    slope = [echo[k : k + 480].sum() for k in (0, 960)]
    assert 10 * np.log10(slope[0] / slope[1]) == pytest.approx(
        60 * 0.06 / DECAY, abs=1.5
    )
    assert echo.sum() == pytest.approx(ECHO**2, rel=0.25)
    whole = power.sum() / len(power)
    assert 10 * np.log10(whole / quiet) == pytest.approx(NOISE, abs=1.0)
    levels = [20 * np.log10(x.std() / click.std()) for x in heard]
    assert np.mean(levels) == pytest.approx(-6, abs=2)


def test_waves_are_sound(release):
    for entry in read_iemocap(release).values():
        samples, rate = soundfile.read(entry["wav"])
        assert rate == 16000 and 0.8 <= len(samples) / rate <= 2.0
        assert samples.std() > 0.001 and np.abs(samples).max() < 0.96
