"""Copies that are drawn once: the same in every run, other ones elsewhere."""

import pytest
import torch

from speechbrain.augment.augmenter import Augmenter
from speechbrain.augment.time_domain import AddNoise, RandAmp
from speechbrain_ser.data.augmentation import Noise, PitchShift
from speechbrain_ser.data.augmented_copies import AugmentedCopies
from speechbrain_ser.data.frame_cache import FrameCache
from speechbrain_ser.lobes.features import LogMel


def augmenter(snr=15):
    """Noise, loudness and pitch, in a random order."""
    parts = [
        AddNoise(snr_low=snr, snr_high=30, noise_funct=Noise()),
        RandAmp(amp_low=0.1, amp_high=1.0),
        PitchShift([-1, 1]),
    ]
    return Augmenter(
        min_augmentations=1,
        max_augmentations=2,
        shuffle_augmentations=True,
        augmentations=parts,
    )


def test_a_copy_is_drawn_by_its_name_alone():
    """Whatever was drawn before; what is drawn after is not moved."""
    copies, wav = AugmentedCopies(augmenter(), 3), torch.randn(8000)
    first = copies.make(wav, "a")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(copies.make(wav, "a"), first)
    assert torch.equal(torch.rand(3), expected)
    assert not torch.equal(copies.make(wav, "b"), first)
    assert first.shape == wav.shape and not torch.equal(first, wav)


def test_another_augmenter_has_another_fingerprint():
    """The same one the same, in any process."""
    prints = [
        AugmentedCopies(augmenter(x), 1).fingerprint for x in (15, 15, 14)
    ]
    assert prints[0] == prints[1] != prints[2]


def test_an_epoch_takes_each_copy_in_turn():
    """In as many epochs as there are copies all of them, not all at once."""
    copies = AugmentedCopies(augmenter(), 3)
    numbers = []
    for copies.epoch in range(1, 4):
        numbers.append([copies.number(key) for key in map(str, range(30))])
    assert all(set(taken) == {0, 1, 2} for taken in zip(*numbers))
    assert all(len(set(row)) == 3 for row in numbers)


def test_copies_are_kept_beside_their_utterance(tones, tmp_path):
    """What is kept is what the features make of the augmented waveform."""
    copies, features = AugmentedCopies(augmenter(), 2), LogMel(n_mels=5)
    cache = FrameCache(tmp_path, features, half=False, copies=copies)
    one = {"tone0": tones["tone0"]}
    every = one | copies.of(one)
    assert cache.fill(every, features, show=False) == 3
    frames = [cache.read(entry) for entry in every.values()]
    for i in range(3):
        for other in frames[:i]:
            assert not torch.equal(frames[i], other)
    other = AugmentedCopies(augmenter(14), 2)
    moved = FrameCache(tmp_path, features, half=False, copies=other)
    assert moved.fill(every, features, show=False) == 2
    assert cache.fill(every, features, show=False) == 0


@pytest.mark.parametrize("count", [1, 4])
def test_copies_of_an_annotation(count):
    """Each with its utterance's keys."""
    entry = {"wav": "a.wav", "speaker": "A"}
    made = AugmentedCopies(augmenter(), count).of({"a": entry})
    assert len(made) == count
    for number in range(count):
        assert made[f"a-copy{number}"] == entry | {"copy": number}
