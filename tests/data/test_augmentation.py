"""Augmented copies: right pitch, right length, reproducible, finite."""

import numpy as np
import pytest
import soundfile as sf
import torch

from speechbrain.augment.augmenter import Augmenter
from speechbrain.augment.time_domain import AddNoise, RandAmp
from speechbrain_ser.data.augmentation import (
    Noise,
    PitchShift,
    Reverb,
    augment_copies,
)
from speechbrain_ser.utils.errors import InputError


def make_augmenter():
    """All four parts of the paper's mix."""
    return Augmenter(
        min_augmentations=4,
        max_augmentations=4,
        shuffle_augmentations=True,
        augmentations=[
            AddNoise(snr_low=5, snr_high=20, noise_funct=Noise()),
            RandAmp(amp_low=0.1, amp_high=1.0),
            Reverb(),
            PitchShift(),
        ],
    )


def peak_frequency(wav, sample_rate=16000):
    """The strongest frequency in Hz."""
    spectrum = np.abs(np.fft.rfft(np.asarray(wav) * np.hanning(len(wav))))
    return spectrum.argmax() * sample_rate / len(wav)


@pytest.mark.parametrize("semitones", [-4, -1, 1, 2, 3])
def test_pitch_moves_by_semitones_and_duration_stays(semitones):
    """A tone of 440 Hz, within 3 cents and the width of a bin."""
    time = torch.arange(32000) / 16000
    tone = torch.sin(2 * torch.pi * 440 * time).unsqueeze(0)
    shifted = PitchShift(semitones=[semitones])(tone)
    assert shifted.shape == tone.shape
    found = peak_frequency(shifted[0, 4000:28000])
    expected = 440 * 2 ** (semitones / 12)
    assert abs(found - expected) < expected * (2 ** (3 / 1200) - 1) + 0.7
    # the sound lasts: its last tenth of a second is not silent
    assert shifted[0, -3200:-1600].abs().max() > 0.5


def test_copies_keep_lengths_and_leave_padding_silent():
    """Nothing spills behind the end of an utterance."""
    torch.manual_seed(0)
    wavs = torch.randn(3, 8001)
    lengths = torch.tensor([1.0, 0.5, 0.25])
    for row, length in zip(wavs, lengths):
        row[round(float(length) * 8001) :] = 0
    copies = augment_copies(make_augmenter(), wavs, lengths)
    assert copies.shape == wavs.shape
    assert torch.isfinite(copies).all()
    for copy, wav, length in zip(copies, wavs, lengths):
        end = round(float(length) * 8001)
        assert (copy[end:] == 0).all()
        assert not torch.allclose(copy[:end], wav[:end], atol=0.01)


def test_generator_state_repeats_the_copies():
    """What a run that goes on needs."""
    import random

    wavs, augmenter = torch.randn(2, 4000), make_augmenter()
    found = []
    for _ in range(2):
        torch.manual_seed(5)
        random.seed(5)
        found.append(augment_copies(augmenter, wavs, torch.ones(2)))
    assert torch.equal(*found)
    again = augment_copies(augmenter, wavs, torch.ones(2))
    assert not torch.equal(found[0], again)


def test_silence_stays_finite():
    """No division by an amplitude of zero."""
    copies = augment_copies(
        make_augmenter(), torch.zeros(2, 3000), torch.ones(2)
    )
    assert torch.isfinite(copies).all()


def test_empty_batch_is_returned():
    """A batch may hold no ambiguous utterance."""
    nothing = torch.zeros(0, 3000)
    assert augment_copies(make_augmenter(), nothing, torch.ones(0)) is nothing


def test_folders_are_drawn_from(tmp_path):
    """A folder's noise is what is added; a folder's echo is what is heard."""
    hum = 0.5 * np.sin(2 * np.pi * 50 * np.arange(4000) / 16000)
    sf.write(tmp_path / "hum.wav", hum, 16000)
    noise = Noise(str(tmp_path))(torch.zeros(2, 16000))
    assert noise.shape == (2, 16000)
    assert abs(peak_frequency(noise[0]) - 50) < 3

    echo = tmp_path / "rooms"
    echo.mkdir()
    response = np.zeros(800)
    response[[0, 400]] = 1.0, 0.5
    sf.write(echo / "echo.flac", response / 2, 16000)
    click = torch.zeros(1, 2000)
    click[0, 100] = 1.0
    heard = Reverb(str(echo))(click)[0]
    assert set(heard.abs().topk(2).indices.tolist()) == {100, 500}
    assert float(heard[500] / heard[100]) == pytest.approx(0.5, abs=1e-3)


def test_empty_folder_is_refused(tmp_path):
    """Named with the mend."""
    with pytest.raises(InputError, match=f"{tmp_path} holds no audio.*null"):
        Noise(str(tmp_path))
