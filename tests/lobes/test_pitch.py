"""NCCF and f0: against float64 loops, all paths, and voices of known f0."""

import inspect
import itertools
import math

import numpy as np
import pytest
import torch

from speechbrain_ser.lobes.features import LogMel
from speechbrain_ser.lobes.pitch import Pitch, best_path
from speechbrain_ser.utils.errors import InputError

# formants and their bandwidths, in Hz
VOWELS = {
    "a": [(700, 80), (1200, 100), (2600, 150)],
    "i": [(280, 60), (2250, 100), (3000, 150)],
}
OTHER = {
    "sample_rate": 22050,  # the hop is 220 samples, 44 after every 5th
    "win_length": 30,
    "hop_length": 10,
    "lowest": 80.0,
    "highest": 400.0,
    "n_lags": 40,
    "ballast": 0.1,
}


def voice(f0, vowel="a", noise=0.01, rate=16000):
    """Harmonics of f0 (Hz, one number a sample) through formants, in noise."""
    phase = 2 * np.pi * np.cumsum(f0) / rate
    wav = np.zeros(len(f0))
    for k in range(1, int(rate / 2 / f0.max())):
        gain = 1 / k
        for formant, width in VOWELS[vowel]:
            gain = gain / (
                1 - (k * f0 / formant) ** 2 + 1j * k * f0 * width / formant**2
            )
        wav += np.abs(gain) * np.cos(k * phase + np.angle(gain))
    wav = 0.5 * wav / np.abs(wav).max()
    wav += noise * np.random.default_rng(1).standard_normal(len(wav))
    return torch.tensor(wav, dtype=torch.float32)


def steady(f0, seconds=0.6):
    """So many samples of one f0."""
    return np.full(int(16000 * seconds), float(f0))


def noise(samples):
    """White, of power 0.01."""
    generator = torch.Generator().manual_seed(1)
    return 0.1 * torch.randn(samples, generator=generator)


def of_one(wav, **settings):
    """NCCF and f0 of one utterance, as two arrays."""
    frames = Pitch(**settings)(wav.unsqueeze(0), torch.ones(1))
    return frames[0].numpy().T


# the correlation


def sinc_window(time, reach):
    """One weight of a sinc under a Hann window."""
    if abs(time) >= reach:
        return 0.0
    sinc = math.sin(math.pi * time) / (math.pi * time) if time else 1.0
    return sinc * (0.5 + 0.5 * math.cos(math.pi * time / reach))


def low_pass(cutoff, rate):
    """Weights of the filter, four zero crossings on each side."""
    n = round(4 * rate / (2 * cutoff))
    weights = [sinc_window(2 * cutoff * i / rate, 4) for i in range(-n, n + 1)]
    return np.array(weights) / sum(weights)


def reference_nccf(
    wav, frame, f0s, rate, window, hop, lowest, highest, ballast
):
    """The NCCF of one frame at the lags of these f0, in float64."""
    wav = wav.astype(np.float64) / np.abs(wav).max()
    stride = rate // 4000
    wav = np.convolve(wav - wav.mean(), low_pass(1000, rate), "same")[::stride]
    rate = rate / stride
    wav = wav - np.convolve(wav, low_pass(0.75 * lowest, rate), "same")
    small = ballast * (wav**2).mean()

    def sample(i):
        return wav[i] if 0 <= i < len(wav) else 0.0

    n = round(window * rate / 1000)
    last = math.ceil(rate / lowest) + 5
    start = round(frame * hop / stride) - (n + last) // 2
    whole = {}
    for lag in range(int(rate / highest) - 5, last + 1):
        a = start + (last - lag) // 2
        product = one = two = 0.0
        for i in range(a, a + n):
            product += sample(i) * sample(i + lag) / n
            one += sample(i) ** 2 / n
            two += sample(i + lag) ** 2 / n
        whole[lag] = product / math.sqrt((one + small) * (two + small))
    found = []
    for f0 in f0s:
        weights = {lag: sinc_window(lag - rate / f0, 5) for lag in whole}
        total = sum(weights.values())
        found.append(sum(whole[k] * weights[k] / total for k in whole))
    return found


@pytest.mark.parametrize("settings", [{}, OTHER], ids=["default", "other"])
def test_nccf_is_that_of_float64_loops(settings):
    """Begin, middle and end of a voice with offset and noise."""
    rate = settings.get("sample_rate", 16000)
    wav = voice(np.linspace(100, 200, 6001), noise=0.1, rate=rate) + 0.3
    pitch = Pitch(**settings)
    nccf = pitch.correlate(pitch.filter(wav), len(wav))
    hop = rate // 100
    assert len(nccf) == pitch.count_frames(6001) == 6001 // hop + 1
    lowest, highest = pitch.settings["lowest"], pitch.settings["highest"]
    f0s = np.geomspace(highest, lowest, nccf.shape[1])
    for frame in (0, 1, 13, len(nccf) - 1):
        expected = reference_nccf(
            wav.numpy(),
            frame,
            f0s,
            rate,
            pitch.settings["win_length"],
            hop,
            lowest,
            highest,
            pitch.settings["ballast"],
        )
        np.testing.assert_allclose(nccf[frame], expected, atol=2e-5)


def test_ballast_halves():
    """Where the power is that part of the mean: p / (p + p)."""
    time = torch.arange(32000) / 16000
    tone = torch.sin(2 * torch.pi * 200 * time)
    tone[16000:] *= 0.1  # a power of 0.01, the mean is 0.505
    nccf, _ = of_one(tone, ballast=0.01 / 0.505)
    np.testing.assert_allclose(nccf[110:190], 0.5, atol=0.01)
    np.testing.assert_allclose(nccf[10:90], 1 / 1.01, atol=0.01)


# the path


@pytest.mark.parametrize("seed", range(5))
def test_best_path_is_the_best_of_all(seed):
    """All 1,024 paths; to and fro cost different."""
    draw = np.random.default_rng(seed)
    local, transition = draw.random((5, 4)), draw.random((4, 4))
    costs = {}
    for path in itertools.product(range(4), repeat=5):
        steps = sum(transition[a, b] for a, b in zip(path, path[1:]))
        costs[path] = steps + sum(local[i, s] for i, s in enumerate(path))
    best = min(costs, key=costs.get)
    assert best_path(local, transition).tolist() == list(best)
    assert best_path(local[:1], transition).tolist() == [local[0].argmin()]


def test_small_costs_count_at_the_end_of_a_long_row():
    """Costs of 5,000 frames add up; 1e-4 is below float32's digits there."""
    local = np.ones((5000, 2), dtype=np.float32)
    local[-1, 0] += 1e-4
    transition = np.array([[0, 5e-5], [5e-5, 0]], dtype=np.float32)
    assert (best_path(local, transition) == 1).all()


# f0


@pytest.mark.parametrize("vowel", VOWELS)
@pytest.mark.parametrize("f0", [80, 120, 220, 400])
def test_f0_of_a_voice(f0, vowel):
    """Within 2 % at 95 % of the frames, and never an octave away."""
    for noise in (0.0, 0.02):
        nccf, found = of_one(voice(steady(f0), vowel, noise))
        error = np.abs(found / f0 - 1)
        assert (error < 0.02).mean() >= 0.95 and error.max() < 0.1
        assert np.median(error) < 0.005
        assert nccf[4:-4].min() > 0.9


@pytest.mark.parametrize("vowel", VOWELS)
@pytest.mark.parametrize(
    "ends", [(80, 120), (220, 110), (150, 400), (400, 200)]
)
def test_f0_of_a_glide(ends, vowel):
    """Up to 1.4 octaves in 0.6 s."""
    f0 = np.geomspace(*ends, 9600)
    nccf, found = of_one(voice(f0, vowel))
    error = found / np.append(f0[::160], f0[-1]) - 1
    assert (np.abs(error) < 0.02).mean() >= 0.95 and np.abs(error).max() < 0.1
    assert nccf[4:-4].min() > 0.8


def test_played_backwards():
    """The same frames backwards: none is early or late, which is 1.6 %."""
    wav = voice(np.geomspace(150, 400, 9601), noise=0.0)
    nccf, f0 = of_one(wav)
    nccf_backwards, f0_backwards = of_one(wav.flip(0))
    inside = slice(3, -3)
    np.testing.assert_allclose(
        f0_backwards[::-1][inside], f0[inside], rtol=0.004
    )
    np.testing.assert_allclose(
        nccf_backwards[::-1][inside], nccf[inside], atol=0.02
    )


@pytest.mark.parametrize("period", [200, 133, 73, 40, 33])
def test_no_octave_error_of_pulses(period):
    """Each multiple of the period is as periodic: the shortest wins."""
    wav = torch.zeros(9600)
    wav[::period] = 1
    _, f0 = of_one(wav)
    np.testing.assert_allclose(f0, 16000 / period, rtol=0.02)
    # unless long lags are favoured
    _, f0 = of_one(wav, short_lags=-10)
    if period < 133:
        assert np.median(f0) < 0.6 * 16000 / period


def test_frames_without_a_voice_are_interpolated():
    """From 120 Hz to 180 Hz, through silence or noise, without a leap."""
    wavs = [voice(steady(120), noise=0.0), voice(steady(180), noise=0.0)]
    for gap in (torch.zeros(4800), 0.1 * noise(4800)):
        wav = torch.cat([wavs[0], gap, wavs[1]])
        nccf, f0 = of_one(wav)
        assert nccf[65:86].max() < 0.6 < 0.9 < nccf[5:55].min()
        np.testing.assert_allclose(f0[:58], 120, rtol=0.02)
        np.testing.assert_allclose(f0[93:], 180, rtol=0.02)
        leap = np.abs(np.diff(np.log(f0))).max()
        assert leap < np.log(2) if gap.any() else leap < 0.15
        assert gap.any() or 140 < f0[75] < 155
    # a path without a price jumps about in the noise
    _, f0 = of_one(wav, penalty=0.0, voiced=0.0)
    assert np.abs(np.diff(np.log(f0))).max() > np.log(2)


EDGES = {
    "rise": (120, 180),
    "fall": (220, 140),
    "steep fall": (300, 150),
    "level": (150, 150),
}
AROUND = {"silence": 0.0, "quiet noise": 0.02, "noise": 0.1}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("edges", EDGES)
def test_f0_is_held_at_the_edges_of_a_voice(edges, around):
    """In frames that are but partly voiced it is that of the voice's edge.

    The voice's f0 is known by construction. A frame looks at 20 ms and half a
    period on each side of its centre.
    """
    f0 = np.geomspace(*EDGES[edges], 6400)
    outside = AROUND[around] * 10 * noise(4800)
    wav = torch.cat([outside, voice(f0, noise=0.0), outside.flip(0)])
    _, found = of_one(wav)
    centres = 160 * np.arange(len(found))
    for edge, side, period in (
        (4800, -1, 16000 / f0[0]),
        (4800 + 6400, 1, 16000 / f0[-1]),
    ):
        beyond = (centres - edge) * side
        reach = 320 + period / 2
        partly = (beyond > -reach) & (beyond < reach)
        assert partly.sum() >= 5
        # of the voice there, and behind its end of the last that there was
        expected = np.interp(
            centres[partly], np.arange(4800, 11200), f0, f0[0], f0[-1]
        )
        assert np.abs(found[partly] / expected - 1).max() < 0.04


def test_noise_between_two_voices_is_interpolated():
    """As silence is: nothing in it is periodic enough to be followed."""
    gap = noise(4800)
    wavs = [voice(steady(f0), noise=0.0) for f0 in (120, 180)]
    _, f0 = of_one(torch.cat([wavs[0], gap, wavs[1]]))
    assert np.abs(np.diff(np.log(f0))).max() < 0.15
    assert 118 < f0[58:93].min() and f0[58:93].max() < 183
    assert 135 < f0[75] < 160


def test_rumble_is_no_voice():
    """Of 20 Hz, behind a voice; its NCCF at short lags would be 0.8."""
    time = torch.arange(9600) / 16000
    rumble = 0.2 * torch.sin(2 * torch.pi * 20 * time) + 0.1 * noise(9600)
    nccf, _ = of_one(torch.cat([voice(steady(200)), rumble]))
    assert nccf[66:-4].max() < 0.65 and nccf[66:-4].mean() < 0.4


def test_gain_changes_nothing():
    """Nor does an offset."""
    wav = voice(np.geomspace(100, 200, 9600), noise=0.05)
    nccf, f0 = of_one(wav)
    for changed in (wav * 1e-4, wav * 32768, wav * 1e-30, -wav, 0.1 * wav + 1):
        nccf_of_changed, f0_of_changed = of_one(changed)
        np.testing.assert_allclose(nccf_of_changed, nccf, atol=1e-3)
        np.testing.assert_allclose(f0_of_changed, f0, rtol=1e-3)


# frames, batches, numbers


@pytest.mark.parametrize("samples", [1, 159, 160, 800, 4801])
@pytest.mark.parametrize("hop", [10, 12.5])
def test_as_many_frames_as_logmel(samples, hop):
    """So that they can stand beside each other."""
    wavs, lengths = torch.randn(2, samples), torch.ones(2)
    expected, _ = LogMel(win_length=40, n_fft=1024, hop_length=hop)(
        wavs, lengths
    )
    pitch = Pitch(hop_length=hop)
    found = pitch(wavs, lengths)
    assert found.shape == (2, expected.shape[1], 2)
    assert pitch.count_frames(samples) == expected.shape[1]


def test_frame_is_centred():
    """A short voice is seen as early as late."""
    wav = torch.zeros(9601)
    wav[3200:6401] = voice(np.full(3201, 200.0))
    nccf, _ = of_one(wav)
    assert (nccf[20:41] > 0.5).all()
    assert nccf[:17].max() < 0.1 and nccf[44:].max() < 0.1


def test_batch_does_not_matter():
    """Bit for bit: padding, what stands in it, order and company."""
    pitch = Pitch()
    samples = [9600, 7301, 800, 1]
    wavs = torch.full((4, 9600), torch.nan)
    for i, n in enumerate(samples):
        wavs[i, :n] = voice(np.linspace(100 + 50 * i, 200, 9600), noise=0.1)[:n]
    lengths = torch.tensor(samples) / 9600
    found = pitch(wavs, lengths)
    assert found.isfinite().all()
    assert torch.equal(pitch(wavs.nan_to_num(), lengths), found)
    assert torch.equal(pitch(wavs.flip(0), lengths.flip(0)), found.flip(0))
    for i, n in enumerate(samples):
        alone = pitch(wavs[i : i + 1, :n], torch.ones(1))[0]
        assert len(alone) == n // 160 + 1
        assert torch.equal(found[i, : len(alone)], alone)
        assert (found[i, len(alone) :] == 0).all()


HARD = {
    "silence": torch.zeros(8000),
    "offset": torch.full((8000,), 0.7),
    "one sample": torch.ones(1),
    "0.05 s": noise(800),
    "noise": noise(8000),
    "smallest numbers": 1e-44 * noise(8000).sign(),
    "clipping": (100 * voice(steady(150))).clamp(-1, 1),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_input_is_finite(name):
    """In range always; a voice only where there is one."""
    nccf, f0 = of_one(HARD[name])
    assert np.isfinite(nccf).all() and np.isfinite(f0).all()
    assert np.abs(nccf).max() <= 1 and 59.9 < f0.min() <= f0.max() < 500.1
    if name in ("silence", "offset", "one sample"):
        assert (nccf == 0).all()
    elif name == "clipping":
        assert nccf[4:-4].min() > 0.9
        np.testing.assert_allclose(f0, 150, rtol=0.02)
    else:
        assert nccf.max() < 0.6


def test_lowest_sample_rate():
    """Telephone speech and less; below there is no room for the search."""
    rate = 4000
    wav = torch.sin(2 * math.pi * 120 * torch.arange(rate) / rate)
    nccf, f0 = Pitch(rate)(wav[None], torch.ones(1))[0, 4:-4].T
    assert nccf.min() > 0.9 and (f0 / 120 - 1).abs().max() < 0.02
    with pytest.raises(InputError, match="--sample_rate is 3999: .*from 4000"):
        Pitch(3999)


def test_float32_and_no_gradient():
    """Under autocast too; nothing is trained or stored."""
    wavs = voice(steady(130)).unsqueeze(0)
    pitch = Pitch()
    expected = pitch(wavs, torch.ones(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = pitch(wavs.requires_grad_(), torch.ones(1))
    assert found.dtype == torch.float32 and not found.requires_grad
    assert torch.equal(found, expected)
    assert pitch(wavs.detach().half(), torch.ones(1)).dtype == torch.float32
    assert not pitch.state_dict() and not list(pitch.parameters())


def test_settings_are_all_there_is():
    """Each of them is kept, and changes the numbers."""
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(Pitch).parameters.items()
    }
    assert Pitch().settings == defaults
    wavs = voice(np.geomspace(90, 450, 9600), noise=0.3).unsqueeze(0)
    numbers = {Pitch()(wavs, torch.ones(1)).numpy().tobytes()}
    others = OTHER | {"hop_length": 5, "short_lags": -10.0, "penalty": 1e3}
    others |= {"voiced": 0.0}
    assert set(others) == set(defaults)
    for name, value in others.items():
        changed = Pitch(**{name: value})
        assert changed.settings == defaults | {name: value}
        numbers.add(changed(wavs, torch.ones(1)).numpy().tobytes())
    assert len(numbers) == 1 + len(others)
