"""The phase vocoder against loops over angles, and against torchaudio's."""

import cmath
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torchaudio.functional import phase_vocoder

from speechbrain_ser.data.vocoder import stretch


def spectrum_of(samples=4000, n_fft=64, batch=2):
    """Of noise, float64, with frames of silence in it."""
    torch.manual_seed(0)
    found = torch.stft(
        torch.randn(batch, samples, dtype=torch.float64),
        n_fft,
        n_fft // 4,
        window=torch.hann_window(n_fft, dtype=torch.float64),
        return_complex=True,
    )
    found[:, :, 20:24] = 0
    return found


def by_angles(row, ratio):
    """One bin, frame by frame: sizes between neighbours, angles added up."""
    row = [*row, 0j, 0j]
    made, phase = [], cmath.phase(row[0])
    for frame in range(math.ceil((len(row) - 2) * ratio)):
        place = frame / ratio
        before = math.floor(place)
        share = float(place - before)
        size = (1 - share) * abs(row[before]) + share * abs(row[before + 1])
        made.append(cmath.rect(size, phase))
        phase += cmath.phase(row[before + 1]) - cmath.phase(row[before])
    return made


@pytest.mark.parametrize(
    "ratio", [Fraction(18, 17), Fraction(3, 4), Fraction(2), Fraction(1)]
)
def test_against_loops(ratio):
    """Every bin of both rows, silence too."""
    spectrum = spectrum_of()[:, ::8]
    kept = spectrum.clone()
    found = stretch(spectrum, ratio)
    assert spectrum.equal(kept)
    for rows, others in zip(spectrum.numpy(), found.numpy()):
        for row, other in zip(rows, others):
            np.testing.assert_allclose(other, by_angles(row, ratio), atol=1e-11)


def test_against_torchaudio():
    """Where no place of a frame is a whole number that floats miss."""
    spectrum, n_fft = spectrum_of(), 64
    advance = torch.linspace(0, math.pi * 16, n_fft // 2 + 1).unsqueeze(1)
    for ratio in (Fraction(256, 243), Fraction(512, 729)):
        expected = phase_vocoder(spectrum, float(1 / ratio), advance.double())
        found = stretch(spectrum, ratio)
        length = min(found.shape[2], expected.shape[2])
        assert abs(found.shape[2] - expected.shape[2]) <= 1
        torch.testing.assert_close(
            found[..., :length], expected[..., :length], atol=1e-9, rtol=0
        )


def test_float32_is_exact_to_a_thousandth():
    """After four seconds of 16 kHz, of the largest number."""
    spectrum = spectrum_of(64000, 512, 1)
    exact = stretch(spectrum, Fraction(17, 18))
    found = stretch(spectrum.to(torch.complex64), Fraction(17, 18))
    assert found.dtype == torch.complex64
    error = (found - exact).abs().max() / exact.abs().max()
    assert 0 < error < 1e-4


@pytest.mark.parametrize("size", [0.0, 1e-42, 1e-31])
def test_near_silence_is_finite(size):
    """As far as float32 goes, beside loud frames."""
    spectrum = spectrum_of(1000).to(torch.complex64)
    spectrum[:, :, 3:9] = size
    for given in (spectrum, torch.full_like(spectrum, size)):
        assert stretch(given, Fraction(3, 2)).isfinite().all()
