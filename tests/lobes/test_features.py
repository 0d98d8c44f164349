"""Log-Mel features, pitch and energy; standardisation, and one length."""

import numpy as np
import pytest
import torch

from speechbrain.lobes.features import Fbank
from speechbrain_ser.lobes import features as module
from speechbrain_ser.lobes.features import (
    LogMel,
    LogMelPitchEnergy,
    Standardisation,
    digest,
    fixed_length,
    repeated_or_middle,
)
from speechbrain_ser.lobes.pitch import Pitch
from tests.references import (
    dann as reference,
    menan,
)

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

WINDOWS = {
    LogMel: {"n_fft": 512},
    LogMelPitchEnergy: {"n_fft": 1024, "win_length": 40},
}


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
        "top_db": 80.0,
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


@pytest.mark.parametrize("make", [LogMel, LogMelPitchEnergy])
def test_the_floor_is_a_setting(make):
    """Of the utterance, so many dB; or one for all: an energy of 1e-10."""
    wavs, lengths = speech(16000)
    wavs = torch.cat([wavs, 100 * wavs])
    wavs[:, 8000:] = 0
    lengths = torch.ones(2)
    found, digests = {}, set()
    for top_db in (80.0, 30, None):
        features = make(n_mels=12, top_db=top_db)
        found[top_db] = features(wavs, lengths)[0][..., :12]
        digests.add(features.prefix_digest())
    assert len(digests) == 3
    assert make(12, top_db=80).prefix_digest() in digests
    quiet, loud = found[80.0]
    assert quiet[-1].max() < loud[-1].max() - 30  # silence, and yet not alike
    for row in found[30]:
        assert (row.max() - row.min()).item() == pytest.approx(30, abs=1e-3)
    assert (found[None][:, -1] == -100).all()
    plain = Fbank(**{"n_mels": 12} | WINDOWS[make])
    plain.compute_fbanks.top_db = 1e9
    torch.testing.assert_close(found[None], plain(wavs), atol=1e-3, rtol=0)


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
    assert features.prefix_digest().startswith("9abf77fae9")


# LogMelPitchEnergy


OTHER_43 = OTHER | {"n_fft": 512, "lowest_f0": 80.0, "highest_f0": 400.0}


def log_energies(wav, window, hop):
    """The energy of each frame of one utterance, by a loop in float64."""
    samples = wav.double().tolist()
    found = []
    for centre in range(0, len(samples) + 1, hop):
        first, last = centre - window // 2, centre + window // 2
        total = 0.0
        for value in samples[max(first, 0) : max(last, 0)]:
            total += value**2
        # what lies outside is zero
        found.append(10 * np.log10(max(total / window, 2**-30)))
    return found


@pytest.mark.parametrize("settings", [{}, OTHER_43])
def test_each_channel_is_what_it_should_be(settings):
    """40 log-Mel energies, NCCF, f0, energy, each computed by itself."""
    features = LogMelPitchEnergy(**settings)
    used = {
        "n_mels": 40,
        "sample_rate": 16000,
        "win_length": 40,
        "hop_length": 10,
        "n_fft": 1024,
        "lowest_f0": 60.0,
        "highest_f0": 500.0,
    } | settings
    n_mels, rate = used["n_mels"], used["sample_rate"]
    spans = used["win_length"], used["hop_length"]
    wavs, lengths = speech(rate, rate // 2, rate=rate)
    frames, shares = features(wavs, lengths)
    assert frames.dtype == torch.float32 and features.dim == n_mels + 3
    window, hop = (round(span * rate / 1000) for span in spans)
    assert frames.shape == (2, rate // hop + 1, n_mels + 3)

    log_mel = LogMel(n_mels, rate, *spans, n_fft=used["n_fft"])
    mels, expected = log_mel(wavs, lengths)
    assert torch.equal(frames[..., :n_mels], mels)
    assert torch.equal(shares, expected)
    pitch = Pitch(rate, *spans, used["lowest_f0"], used["highest_f0"])
    nccf_and_f0 = frames[..., n_mels : n_mels + 2]
    assert torch.equal(nccf_and_f0, pitch(wavs, lengths))
    for row, wav in zip(frames, wavs):
        expected = log_energies(wav, window, hop)
        np.testing.assert_allclose(row[:, -1].numpy(), expected, atol=1e-3)


def test_a_voice_of_known_pitch_and_loudness():
    """220 Hz with harmonics: NCCF near 1, f0 in Hz, the power in dB."""
    time = torch.arange(16000) / 16000
    wav = sum(
        0.2 / n * torch.cos(2 * torch.pi * 220 * n * time) for n in (1, 2, 3)
    )
    frames, _ = LogMelPitchEnergy()(wav[None], torch.ones(1))
    nccf, f0, energy = frames[0, 10:-10, 40:].unbind(1)
    assert nccf.min() > 0.95 and nccf.max() <= 1
    assert ((f0 / 220 - 1).abs() < 0.02).all()
    # 0.02 (1 + 1/4 + 1/9)
    expected = 10 * np.log10(0.02 * (1 + 1 / 4 + 1 / 9))
    assert energy.min() > expected - 0.2 and energy.max() < expected + 0.2


@pytest.mark.parametrize("samples", [1, 159, 160, 320, 799, 8000])
@pytest.mark.parametrize("kind", ["silence", "constant", "noise", "clipped"])
def test_every_frame_is_finite(samples, kind):
    """Of one sample, 0.02 s and more, whatever they hold; and so many."""
    wavs, lengths = speech(samples)
    wavs = {
        "silence": 0 * wavs,
        "constant": 0 * wavs + 0.3,
        "noise": 1e-6 * wavs,
        "clipped": (100 * wavs).clamp(-1, 1),
    }[kind]
    features = LogMelPitchEnergy()
    frames, shares = features(wavs, lengths)
    count = samples // 160 + 1
    assert frames.shape == (1, count, 43) and shares.tolist() == [1]
    assert features.count_frames(samples) == count
    assert frames.isfinite().all()
    f0, energy = frames[..., 41], frames[..., 42]
    assert (f0 >= 59).all() and (f0 <= 505).all()
    if kind == "silence":
        # one step of 16 bits
        lowest = 20 * np.log10(2**-15)
        np.testing.assert_allclose(energy.numpy(), lowest, rtol=1e-6)
    expected = log_energies(wavs[0], 640, 160)
    np.testing.assert_allclose(energy[0].numpy(), expected, atol=1e-3)


def test_padding_changes_no_channel():
    """Each utterance's own frames, to the last, are those of it alone."""
    samples = (16000, 9999, 8000, 401, 160)
    wavs, lengths = speech(*samples)
    features = LogMelPitchEnergy()
    frames, shares = features(wavs, lengths)
    for row, wav, share, n in zip(frames, wavs, shares, samples):
        alone, _ = features(wav[None, :n], torch.ones(1))
        count = round(share.item() * frames.shape[1])
        assert count == alone.shape[1] == n // 160 + 1
        torch.testing.assert_close(row[:count], alone[0], atol=1e-4, rtol=1e-6)


def test_gain_moves_levels_and_not_pitch():
    """A tenth of the amplitude: 20 dB less, the same NCCF and f0."""
    wavs, lengths = speech(8000)
    loud, soft = (LogMelPitchEnergy()(g * wavs, lengths)[0] for g in (1, 0.1))
    levels = [*range(40), 42]
    torch.testing.assert_close(
        soft[..., levels], loud[..., levels] - 20, atol=1e-2, rtol=0
    )
    torch.testing.assert_close(
        soft[..., 40:42], loud[..., 40:42], atol=1e-3, rtol=1e-4
    )


def test_pitch_and_energy_are_as_fixed_as_the_rest():
    """No weights; autocast and the wave's precision change nothing."""
    wavs, lengths = speech(4000, 3000)
    features = LogMelPitchEnergy()
    assert not list(features.parameters()) and not features.state_dict()
    expected = features(wavs, lengths)
    with torch.autocast("cpu", torch.bfloat16):
        found = [features.train()(wavs, lengths)]
    found += [features(wavs.double(), lengths), features.prefix(wavs, lengths)]
    for frames, shares in found:
        assert frames.dtype == torch.float32
        assert torch.equal(frames, expected[0])
        assert torch.equal(shares, expected[1])


def test_digest_of_43_channels_is_another_with_each_setting():
    """Of pitch too; a person can read them all."""
    features = LogMelPitchEnergy()
    digests = {features.prefix_digest(), LogMelPitchEnergy().prefix_digest()}
    assert len(digests) == 1
    for name, value in OTHER_43.items():
        changed = LogMelPitchEnergy(**{name: value})
        digests.add(changed.prefix_digest())
        assert repr(value) in repr(changed.about_prefix())
    assert len(digests) == 1 + len(OTHER_43)
    same = LogMel(win_length=40, n_fft=1024)
    assert same.prefix_digest() not in digests
    about = features.about_prefix()
    assert about["log_mel"] == features.log_mel.settings == same.settings
    assert about["pitch"] == features.pitch.settings
    assert "log-Mel" in about["what"] and "f0" in about["what"]


def test_digest_is_of_what_it_is_given(monkeypatch):
    """In every process the same, whatever order the settings have."""
    first = "a0e2a9e6"
    assert digest("a", {"x": 1, "y": [2.5]}).startswith(first)
    assert digest("a", {"y": [2.5], "x": 1}).startswith(first)
    others = [digest("b", {"x": 1, "y": [2.5]}), digest("a", {"x": 1})]
    monkeypatch.setattr(module, "DIGEST_VERSION", 2)
    others.append(digest("a", {"x": 1, "y": [2.5]}))
    found = [name[:8] for name in others]
    assert len({first, *found}) == 4


PINNED_43 = [
    [25.5577, -10.1271, 0.8746, 119.1220, -15.0626],
    [30.5949, -7.6345, 0.8965, 128.7940, -13.0038],
    [30.3322, 23.5690, 0.9981, 150.1822, -12.9989],
]


def test_numbers_behind_a_digest_of_43_channels_stay():
    """If a number changes, so must DIGEST_VERSION: caches would be stale."""
    time = torch.arange(8000) / 16000
    wav = 0.3 * torch.sin(2 * torch.pi * (120 + 60 * time) * time)
    wav += 0.1 * torch.sin(2 * torch.pi * 3333 * time**2)
    features = LogMelPitchEnergy(n_mels=2)
    frames, _ = features(wav[None], torch.ones(1))
    found = frames[0, [0, 7, 25]].numpy()
    np.testing.assert_allclose(found, PINNED_43, atol=0.02)
    assert features.prefix_digest().startswith("18d86c6e5b")


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


def test_repeated_or_middle_by_hand():
    """0.2 s, 13.99 s, 14 s and 30 s, with a frame each 10 ms, to 14 s."""
    features = LogMelPitchEnergy()
    by_hand = {
        # 66 times 21 frames are 1386
        0.2: [*range(21)] * 66 + [*range(15)],
        13.99: [*range(1400), 0],
        14: [*range(1401)],
        # 1600 frames too many
        30: [*range(800, 2201)],
    }
    for seconds, expected in by_hand.items():
        n = features.count_frames(round(seconds * 16000))
        frames = torch.stack([torch.arange(n), -torch.arange(n)], dim=1)
        found = repeated_or_middle(frames, 1401)
        assert found.shape == (1401, 2)
        assert found[:, 0].tolist() == expected
        assert (-found[:, 1]).tolist() == expected


@pytest.mark.parametrize("target", [1, 2, 7, 31, 32])
def test_repeated_or_middle_is_the_reference(target):
    """Of every length from one frame on, odd and even."""
    for n in range(1, 100):
        frames = torch.arange(n) + 100.0
        found = repeated_or_middle(frames.unsqueeze(1), target)
        expected = menan.fixed_indices(n, target)
        assert (found.flatten() - 100).tolist() == expected
