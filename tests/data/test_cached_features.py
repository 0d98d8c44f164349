"""Features are computed once, and are what DANN and MEnAN need of them."""

import logging
import pickle

import pytest
import torch

from speechbrain_ser.data.cached_features import cached_features, held_of
from speechbrain_ser.data.standardised_reader import StandardisedReader
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


def test_reader_keeps_until_the_statistics_change(parts, tmp_path):
    """What it gives is computed once; each change of a buffer is seen."""
    held = cached_features(tmp_path, LogMel(n_mels=5), parts.values())
    calls = []

    def finish(frames):
        """Counts."""
        calls.append(1)
        return fixed_length(frames, 60)

    read = StandardisedReader(Standardisation(5), finish)
    read.held |= held
    entry = parts["train"]["tone0"]
    module, frames = read.standardise, held[place(entry)]

    def fitted():
        """By another fit."""
        module.fit([frames])

    def loaded():
        """By a checkpoint."""
        other = Standardisation(5)
        other.fit([3 * frames])
        module.load_state_dict(other.state_dict())

    def moved():
        """By other tensors, as of another device."""
        module.mean, module.std = module.mean + 1, module.std * 2

    for n, change in enumerate((lambda: None, fitted, loaded, moved), 1):
        change()
        expected = fixed_length(module(frames), 60)
        for again in (read(entry), read(entry)):
            assert torch.equal(again, expected)
        assert len(calls) == n
    read.finish = None
    sent = pickle.loads(pickle.dumps(read))
    assert torch.equal(sent(entry), module(frames))
    assert read(entry).shape == (60, 5)
