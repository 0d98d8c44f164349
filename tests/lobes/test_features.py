"""Log-Mel features, their standardisation over a corpus, their one length."""

import numpy as np
import pytest
import torch
from speechbrain.lobes.features import Fbank

from speechbrain_ser.lobes.features import (
    LogMel,
    Standardisation,
    fixed_length,
)
from tests.references import dann as reference

OTHER = {
    "n_mels": 20,
    "sample_rate": 8000,
    "win_length": 32,
    "hop_length": 12.5,
    "n_fft": 1024,
}


def speech(*samples, rate=16000):
    """Noise that swells, of so many samples each, zero behind the end."""
    generator = torch.Generator().manual_seed(1)
    wavs = torch.zeros(len(samples), max(samples))
    for row, n in zip(wavs, samples):
        time = torch.arange(n) / rate
        noise = 0.1 * torch.randn(n, generator=generator)
        row[:n] = (1 + torch.sin(9 * time)) * noise + 0.2 * torch.sin(
            2 * torch.pi * 440 * time
        )
    return wavs, torch.tensor(samples) / max(samples)


# LogMel


@pytest.mark.parametrize("settings", [{"n_mels": 26}, OTHER])
def test_is_speechbrains_filter_bank(settings):
    """Its Fbank with the same settings, at any length and rate."""
    rate = settings.get("sample_rate", 16000)
    wavs, lengths = speech(16000, 15839, 8001, 500, rate=rate)
    found, _ = LogMel(**settings)(wavs, lengths)
    expected = Fbank(**({"n_fft": 512} | settings))(wavs)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)


def test_defaults_are_25_ms_every_10_ms():
    """Of 16 kHz: an impulse is seen by the windows that it lies in."""
    features = LogMel(n_mels=26)
    assert features.dim == 26 and features.settings == {
        "n_mels": 26,
        "sample_rate": 16000,
        "win_length": 25,
        "hop_length": 10,
        "n_fft": 512,
    }
    wav = torch.zeros(1, 16000)
    wav[0, 8000] = 1
    frames, _ = features(wav, torch.ones(1))
    heard = frames[0].mean(dim=1) > frames.min() + 1
    # 200 samples before the impulse to 199 behind it: centres 160 apart
    assert heard.nonzero().flatten().tolist() == [49, 50, 51]


def test_ten_times_as_loud_is_20_db_more():
    """In dB of the power; a tone is loudest in its own filter."""
    features = LogMel(n_mels=26)
    time = torch.arange(16000) / 16000
    wavs = torch.sin(2 * torch.pi * 1000 * time) * torch.tensor([[0.1], [0.01]])
    frames, _ = features(wavs, torch.ones(2))
    loudest = frames[:, 50].max(dim=1)
    difference = loudest.values[0] - loudest.values[1]
    assert difference.item() == pytest.approx(20, abs=0.01)
    mel = 2595 * np.log10(1 + np.array([1000, 8000]) / 700)
    expected = mel[0] / mel[1] * 27 - 1
    assert loudest.indices.tolist() == [round(expected)] * 2


def test_at_most_80_db_below_the_loudest():
    """Of the utterance, not of the batch; silence is no infinity."""
    wavs, _ = speech(16000, 16000)
    wavs[1] *= 1e-2
    wavs[:, 8000:] = 0
    frames, _ = LogMel()(wavs, torch.ones(2))
    for row in frames:
        assert (row.max() - row.min()).item() == pytest.approx(80, abs=1e-3)
    assert frames[1].max() < frames[0].max() - 30
    silence, _ = LogMel()(torch.zeros(1, 4000), torch.ones(1))
    assert silence.isfinite().all()


@pytest.mark.parametrize(
    "rate, hop, samples, count",
    [
        (16000, 10, 16000, 101),
        (16000, 10, 15999, 100),
        (16000, 10, 160, 2),
        (16000, 10, 159, 1),
        (8000, 10, 8000, 101),
        (16000, 12.5, 16000, 81),
    ],
)
def test_number_of_frames(rate, hop, samples, count):
    """One at the beginning and one every hop: said, told before, and made."""
    features = LogMel(sample_rate=rate, hop_length=hop)
    wavs, lengths = speech(samples, rate=rate)
    frames, shares = features(wavs, lengths)
    assert frames.shape == (1, count, 40) and shares.tolist() == [1]
    assert int(features.count_frames(torch.tensor(samples))) == count
    assert features.count_frames(samples) == count


def test_padding_changes_nothing():
    """Each utterance's own frames, to the last, are those of it alone."""
    samples = (16000, 9999, 8000, 401, 160)
    wavs, lengths = speech(*samples)
    features = LogMel(n_mels=26)
    frames, shares = features(wavs, lengths)
    for row, wav, share, n in zip(frames, wavs, shares, samples):
        alone, _ = features(wav[None, :n], torch.ones(1))
        count = round(share.item() * frames.shape[1])
        assert count == alone.shape[1] == n // 160 + 1
        torch.testing.assert_close(row[:count], alone[0], atol=1e-4, rtol=0)


def test_nothing_is_trained_and_autocast_stays_out():
    """What is kept on disk must be the same in every run."""
    wavs, lengths = speech(4000, 3000)
    features = LogMel()
    expected = features(wavs, lengths)
    assert not [p for p in features.parameters() if p.requires_grad]
    with torch.autocast("cpu", torch.bfloat16):
        found = features.train()(wavs, lengths)
    assert torch.equal(found[0], expected[0]) and found[0].dtype == wavs.dtype
    for one, other in zip(features.prefix(wavs, lengths), expected):
        assert torch.equal(one, other)


def test_digest_is_another_with_each_setting():
    """And the same for the same settings; a person can read them."""
    digests = {LogMel().prefix_digest(), LogMel().prefix_digest()}
    assert len(digests) == 1
    for name, value in OTHER.items():
        changed = LogMel(**{name: value})
        digests.add(changed.prefix_digest())
        assert changed.about_prefix()[name] == value
    assert len(digests) == 1 + len(OTHER)
    assert "log-Mel" in LogMel().about_prefix()["what"]


PINNED = [
    [35.7587, 29.3772, -14.0199, -20.0154, -22.9038],
    [-3.9873, 36.7911, 21.9723, -15.2393, -19.5763],
]


def test_numbers_behind_a_digest_stay():
    """If a number changes, so must DIGEST_VERSION: caches would be stale."""
    time = torch.arange(1600) / 16000
    wav = 0.5 * torch.sin(2 * torch.pi * (300 + 4000 * time) * time)
    features = LogMel(n_mels=5)
    frames, _ = features(wav[None], torch.ones(1))
    np.testing.assert_allclose(frames[0, [2, 8]].numpy(), PINNED, atol=0.01)
    assert features.prefix_digest().startswith("fb5ec1ee49")


# Standardisation


@pytest.mark.parametrize("offset", [0.0, -60.0, 1e4])
def test_standardisation_is_that_of_all_frames(offset):
    """Each frame counts the same, however long its utterance is."""
    draw = np.random.default_rng(1)
    utterances = [
        (draw.normal(i, 1 + i, size=(n, 3)) * [1, 5, 0.2] + offset).astype(
            np.float32
        )
        for i, n in enumerate([1, 40, 7, 200])
    ]
    standardise = Standardisation(3)
    standardise.fit(torch.from_numpy(frames) for frames in utterances)
    whole = np.concatenate(utterances).astype(np.float64)
    # as exact as float32 can be, so that no digit is lost to the offset
    np.testing.assert_allclose(
        standardise.mean.numpy(), whole.mean(axis=0), rtol=1e-7
    )
    np.testing.assert_allclose(
        standardise.std.numpy(), whole.std(axis=0), rtol=1e-6
    )
    # the mean is rounded to float32
    error = 1e-5 + abs(offset) * 2**-24 / whole.std(axis=0).min()
    for frames, expected in zip(utterances, reference.standardise(utterances)):
        found = standardise(torch.from_numpy(frames))
        assert found.dtype == torch.float32
        np.testing.assert_allclose(found.numpy(), expected, atol=2 * error)


@pytest.mark.parametrize("value", [0.0, 0.1, -37.7, 1e4])
def test_constant_dimension(value):
    """Brought to 0, not divided; the others are not touched by it."""
    torch.manual_seed(1)
    utterances = [torch.randn(n, 2) for n in (3, 700, 1301)]
    for frames in utterances:
        frames[:, 1] = value
    standardise = Standardisation(2)
    standardise.fit(utterances)
    assert standardise.std[1] == 1
    assert (standardise(utterances[0])[:, 1] == 0).all()
    whole = torch.cat(utterances)[:, 0].double()
    assert standardise.std[0].item() == pytest.approx(
        whole.std(correction=0).item(), rel=1e-6
    )


def test_many_constant_dimensions():
    """Whatever the number is: no rounding makes a deviation of it."""
    torch.manual_seed(1)
    levels = 100 * torch.randn(50)
    standardise = Standardisation(50)
    standardise.fit([levels.expand(n, 50) for n in (3, 700, 1301)])
    assert (standardise.std == 1).all()
    assert torch.equal(standardise.mean, levels)


def test_first_utterance_unlike_all_others():
    """Its level is where sums begin: no digit is lost there."""
    torch.manual_seed(1)
    utterances = [torch.randn(1, 1) + 1000, *torch.randn(20, 1000, 1)]
    standardise = Standardisation(1)
    standardise.fit(utterances)
    whole = torch.cat(utterances).double().numpy()
    assert standardise.mean.item() == pytest.approx(whole.mean(), rel=1e-6)
    assert standardise.std.item() == pytest.approx(whole.std(), rel=1e-6)


def test_fitted_anew():
    """The second corpus alone counts; the statistics are in a checkpoint."""
    torch.manual_seed(1)
    standardise = Standardisation(2)
    assert torch.equal(standardise(torch.ones(3, 2)), torch.ones(3, 2))
    standardise.fit([torch.randn(9, 2) + 100])
    frames = torch.randn(9, 2)
    standardise.fit([frames])
    found = standardise(frames)
    torch.testing.assert_close(found.mean(0), torch.zeros(2))
    torch.testing.assert_close(found.std(0, correction=0), torch.ones(2))
    other = Standardisation(2)
    other.load_state_dict(standardise.state_dict())
    assert torch.equal(other(frames), found)
    assert not list(standardise.parameters())


def test_no_frame_no_statistics():
    """Nothing, or utterances without frames; one with frames is enough."""
    for nothing in ([], [torch.zeros(0, 2)]):
        with pytest.raises(ValueError, match="needs a frame"):
            Standardisation(2).fit(nothing)
    standardise = Standardisation(1)
    standardise.fit([torch.zeros(0, 1), torch.tensor([[1.0], [3.0]])])
    assert standardise.mean.item() == 2 and standardise.std.item() == 1


# One length


@pytest.mark.parametrize("n", [1, 2, 749, 750, 751, 752, 753, 3000])
def test_fixed_length_is_the_reference(n):
    """Bit for bit: nothing is computed."""
    torch.manual_seed(n)
    frames = torch.randn(n, 3)
    found = fixed_length(frames)
    assert found.shape == (750, 3)
    assert (found.numpy() == reference.fixed_length(frames.numpy())).all()


def test_fixed_length_by_hand():
    """Each dimension has its own minimum; the middle of odd and even."""
    frames = torch.tensor([[3.0, 1.0], [2.0, 5.0]])
    expected = [[3, 1], [2, 5], [2, 1], [2, 1]]
    assert fixed_length(frames, 4).tolist() == expected
    six = torch.arange(6.0).unsqueeze(1)
    assert fixed_length(six, 4).flatten().tolist() == [1, 2, 3, 4]
    assert fixed_length(six, 3).flatten().tolist() == [1, 2, 3]
    assert fixed_length(six, 5).flatten().tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(fixed_length(six, 6), six)


@pytest.mark.parametrize("n", [1, 20, 50, 51, 80])
def test_order_of_standardising_and_fixing_is_free(n):
    """The minimum stays the minimum: the standard deviation is positive."""
    torch.manual_seed(1)
    frames = torch.randn(n, 4) * 10 - 50
    standardise = Standardisation(4)
    standardise.fit([frames, torch.randn(30, 4) * 5])
    assert torch.equal(
        fixed_length(standardise(frames), 50),
        standardise(fixed_length(frames, 50)),
    )
