"""Features are computed once, and are what DANN and MEnAN need of them."""

import logging

import pytest
import torch

from speechbrain_ser.data.cached_features import cached_features, held_of
from speechbrain_ser.lobes.features import (
    LogMel,
    LogMelPitchEnergy,
    Standardisation,
    fixed_length,
    repeated_or_middle,
)
from speechbrain_ser.utils.audio import load_audio, place, with_speeds
from speechbrain_ser.utils.errors import InputError


@pytest.fixture
def parts(tones):
    """Two parts; one utterance is in both, under another id."""
    keys = list(tones)
    train = {key: tones[key] for key in keys[:8]}
    return {
        "train": train,
        "valid": {"again": tones[keys[3]]}
        | {key: tones[key] for key in keys[8:]},
    }


def test_each_speech_once(parts, tmp_path, caplog):
    """As `features` gives it, in order; the second time from the folder."""
    features = LogMel(n_mels=5)
    with caplog.at_level(logging.INFO):
        held = cached_features(tmp_path, features, parts.values(), what="mels")
        again = cached_features(tmp_path, features, parts.values(), what="mels")
    assert "mels: 12 utterances computed, 0 were in" in caplog.text
    assert "mels: 0 utterances computed, 12 were in" in caplog.text
    every = [e for part in parts.values() for e in part.values()]
    assert list(held) == list(again) == list(dict.fromkeys(map(place, every)))
    for entry in every:
        wav = load_audio(entry, 16000).unsqueeze(0)
        expected, _ = features(wav, torch.ones(1))
        assert torch.equal(held[place(entry)], expected[0])
        assert torch.equal(again[place(entry)], expected[0])
    found = held_of(held, every)
    assert len(found) == 12
    for one, other in zip(found, held.values()):
        assert one is other


def test_no_folder_is_a_sentence(parts):
    """With the setting."""
    with pytest.raises(InputError, match="need a folder: give --cache_folder"):
        cached_features(None, LogMel(), parts.values())


def test_standardised_when_read_is_standardised_before(parts, tmp_path):
    """Bit for bit, of two domains; a loaded standardisation counts at once."""
    held = cached_features(tmp_path, LogMel(n_mels=5), parts.values())
    for part in parts.values():
        standardise = Standardisation(5)
        frames = held_of(held, part.values())
        standardise.fit(frames)
        before = [fixed_length(standardise(x), 60) for x in frames]

        def read(entry, standardise=standardise):
            """As a dataset does."""
            return fixed_length(standardise(held[place(entry)]), 60)

        for entry, expected in zip(part.values(), before):
            assert torch.equal(read(entry), expected)
        other = Standardisation(5)
        other.fit([10 * x for x in frames])
        standardise.load_state_dict(other.state_dict())
        assert not torch.equal(read(entry), expected)
        assert torch.equal(
            read(entry), fixed_length(other(held[place(entry)]), 60)
        )


def test_copies_at_other_speeds(parts, tmp_path):
    """Of other speech than their originals, as MEnAN trains on them."""
    training = with_speeds(parts["train"], [0.5])
    features = LogMelPitchEnergy(n_mels=5)
    held = cached_features(tmp_path, features, [training, parts["valid"]])
    assert len(held) == 20
    found = held_of(held, training.values())
    assert len(found) == 16
    assert repeated_or_middle(found[0], 300).shape == (300, 8)
