"""MEnAN's 43 features: how fast, and how right f0 is, beside SpeechBrain's.

First speed: utterances of 4.5 s, one after the other as the cache is filled, on
one core. `LogMelPitchEnergy` and its three parts, SpeechBrain's
`VocalFeatures` (17 features, f0 among them) and torchaudio's
`detect_pitch_frequency` (f0 alone) take turns; printed is the median over the
rounds of how many times faster than real time each is, by the clock and by CPU
time, which other jobs on the machine disturb less, and the CPU time in relation
to that of `LogMelPitchEnergy` in the same round. The peers run as they are and
with our range of f0, 60 to 500 Hz, where `VocalFeatures` needs a window of 70
ms, four of the longest periods.

Then f0: a synthetic voice (Rosenberg pulses through formants, `corpora.voice`)
is on for 1.5 s and off for 0.3 s, in white noise of `--snr` dB. Its f0 stays, or
glides a fifth up and down in a second. Frames whose centre is 50 ms or more from
the end of a voice are counted: the per cent with f0 within 2 % of the truth at
that centre, and the per cent of octave errors, within 5 % of a half, a third, two
or three times the truth. ``detect_pitch_frequency`` takes medians over 0.3 s by
itself; ``short`` is over 0.05 s, as in `VocalFeatures`.

The speech is that of the mini corpus's voices, or with ``--data_folder`` the
first utterances of a corpus in IEMOCAP's layout.

> python benchmarks/pitch_features.py
"""

import argparse
import functools
import statistics

import numpy as np
import torch
from dann_step import seconds_of
from rows import add_rows_option, row, write_rows
from torchaudio.functional import detect_pitch_frequency

from speechbrain.lobes.features import VocalFeatures
from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.mini import voice
from speechbrain_ser.lobes.features import LogMelPitchEnergy
from speechbrain_ser.utils.audio import load_audio

RATE = 16000
F0 = (80, 120, 220, 400)
LOWEST, HIGHEST = 60, 500
VOICED, PAUSE = 1.5, 0.3
EDGE = 0.05
# Command lines of the tests, each a trial of a second.
SMOKE = ("--utterances 1 --rounds 1 --voices 1 --snr 10",)


def by_vocal(features, wav):
    """Frame i begins at sample i * step; nothing is padded."""
    f0 = features(wav)[0, :, 0]
    starts = torch.arange(len(f0)) * features.step_samples
    return f0, (starts + features.window_samples / 2) / RATE


def by_detection(function, wav):
    """A piece of 10 ms is compared with one a period later."""
    f0 = function(wav)[0]
    # of an even number of frames the middle is half a frame later
    later = 0.005 * (function.keywords.get("win_length", 30) % 2 == 0)
    starts = torch.arange(len(f0)) * 0.01
    return f0, starts + 0.005 + 0.5 / f0 + later


def make_methods():
    """Makes everything that is measured.

    Returns
    -------
    timed : dict
        Name to a callable of a waveform ``[1, samples]``.
    trackers : dict
        Name to a callable of a waveform that gives f0, ``[frames]``, and the
        centres of the frames in seconds.
    """
    ours = LogMelPitchEnergy()
    whole = torch.ones(1)
    vocal = VocalFeatures()
    wide = VocalFeatures(LOWEST, HIGHEST, window_size=0.07)
    detect = functools.partial(detect_pitch_frequency, sample_rate=RATE)
    in_range = functools.partial(detect, freq_low=LOWEST, freq_high=HIGHEST)
    short = functools.partial(in_range, win_length=5)
    timed = {
        "LogMelPitchEnergy": lambda wav: ours(wav, whole),
        "  log-Mel": lambda wav: ours.log_mel(wav, whole),
        "  pitch": lambda wav: ours.pitch(wav, whole),
        "  energy": ours.log_energy,
        "VocalFeatures": vocal,
        "  60-500 Hz": wide,
        "detect_pitch_frequency": detect,
        "  60-500 Hz ": in_range,
    }

    def by_pitch(wav):
        """Frame i is centred at sample i * hop."""
        f0 = ours.pitch(wav, whole)[0, :, 1]
        return f0, torch.arange(len(f0)) * ours.pitch.hop / RATE

    trackers = {"Pitch": by_pitch}
    for name, features in (("as it is", vocal), ("60-500 Hz", wide)):
        trackers[f"VocalFeatures, {name}"] = functools.partial(
            by_vocal, features
        )
    for name, function in (
        ("as it is", detect),
        ("60-500 Hz", in_range),
        ("short", short),
    ):
        trackers[f"detect_pitch_frequency, {name}"] = functools.partial(
            by_detection, function
        )
    return timed, trackers


def synthetic_speech(n):
    """Says so many utterances of 4.5 s with the mini corpus's voices."""
    rng = np.random.default_rng(0)
    wavs = []
    for i in range(n):
        speaker = voice.draw_speaker("speaker", "FM"[i % 2], rng)
        emotion = {("ang", "hap", "neu", "sad")[i % 4]: 1.0}
        wav = voice.synthesize(emotion, speaker, rng, duration=4.5)
        wavs.append(torch.from_numpy(wav))
    return wavs


def real_speech(folder, n):
    """Loads the first utterances of a corpus in IEMOCAP's layout."""
    entries = list(read_iemocap(folder).values())[:n]
    return [load_audio(entry, RATE) for entry in entries]


def print_speed(timed, wavs, rounds):
    """Prints how many times faster than real time each is; returns rows.

    Arguments
    ---------
    timed : dict
        Of `make_methods`.
    wavs : list of torch.Tensor
        ``[samples]`` each.
    rounds : int
    """
    seconds = sum(map(len, wavs)) / RATE
    taken = {name: [] for name in timed}

    def go_through(method):
        """Gives a method each utterance."""
        for wav in wavs:
            method(wav.unsqueeze(0))

    # The first round is slower and is not kept.
    with torch.no_grad():
        for i in range(rounds + 1):
            for name in timed if i % 2 else reversed(timed):
                both = seconds_of(lambda: go_through(timed[name]))
                if i:
                    taken[name].append(both)
    print(
        f"{len(wavs)} utterances, {seconds:.0f} s, {rounds} rounds, "
        f"{torch.get_num_threads()} thread; times faster than real time\n"
        f"{'':24}{'by the clock':>14}{'by CPU time':>13}{'range':>13}"
        f"{'CPU time, ours 1':>18}"
    )
    for name, both in taken.items():
        wall, cpu = zip(*both)
        whole = [cpu for _, cpu in taken["LogMelPitchEnergy"]]
        ratio = statistics.median(a / b for a, b in zip(cpu, whole))
        print(
            f"{name:24}{seconds / statistics.median(wall):14.0f}"
            f"{seconds / statistics.median(cpu):13.0f}"
            f"{f'{seconds / max(cpu):.0f}-{seconds / min(cpu):.0f}':>13}"
            f"{ratio:18.2f}"
        )
    times = {
        name: seconds / statistics.median(wall for wall, _ in both)
        for name, both in taken.items()
    }
    mine = times.pop("LogMelPitchEnergy")
    return [
        row(
            *("pitch_features", f"times real time, to {name}"),
            *(f"{mine:.0f}", f"{other:.0f}", mine / other),
        )
        for name, other in times.items()
    ]


def voice_of(f0, glides, snr, n):
    """Makes a voice that is on and off, and says where it is on.

    Arguments
    ---------
    f0 : float
        In Hz.
    glides : bool
        Whether f0 goes up and down by a fifth in a second, or stays.
    snr : float
        In dB, where the voice is on.
    n : int
        How often it is on.

    Returns
    -------
    wav : torch.Tensor
        ``[1, samples]``.
    track : numpy.ndarray
        f0 in Hz at each sample, 0 where the voice is off.
    """
    rng = np.random.default_rng(0)
    one = int(VOICED * RATE)
    time = np.arange(one) / RATE
    around = np.sin(2 * np.pi * time) if glides else np.zeros(one)
    contour = f0 * 1.5 ** (0.5 * around)
    prosody = voice.PROSODY["neu"]._replace(jitter=0.0)
    gap = np.zeros(int(PAUSE * RATE))
    wavs, track = [gap], [gap]
    for i in range(n):
        vowels = np.array(voice.FIRST_LANGUAGE.vowels, dtype=float)
        # from one vowel to the next
        part = np.linspace(0, 1, len(time[:: RATE // 100]))[:, None]
        here, there = vowels[i % len(vowels)], vowels[(i + 1) % len(vowels)]
        source = voice.glottal_source(contour, prosody, 0.1, RATE, rng)
        wav = voice.formant_filter(source, here + part * (there - here), RATE)
        wavs += [wav / wav.std(), gap]
        track += [contour, gap]
    wav = 0.1 * np.concatenate(wavs)
    wav += 0.1 * 10 ** (-snr / 20) * rng.normal(size=len(wav))
    return torch.from_numpy(wav).float().unsqueeze(0), np.concatenate(track)


def errors_of(tracker, wav, track):
    """Compares f0 with the truth on voiced frames.

    Arguments
    ---------
    tracker : callable
        Of `make_methods`.
    wav : torch.Tensor
        ``[1, samples]``.
    track : numpy.ndarray
        Of `voice_of`.

    Returns
    -------
    right : float
        The per cent of voiced frames within 2 %.
    octaves : float
        The per cent of octave errors.
    """
    f0, centres = tracker(wav)
    places = (centres.numpy() * RATE).round().astype(int)
    edge = int(EDGE * RATE)
    silent = np.cumsum(np.pad(track == 0, (edge + 1, edge), mode="edge"))
    # no silence from one edge before to one edge behind
    voiced = silent[2 * edge + 1 :] == silent[: -2 * edge - 1]
    inside = places < len(track)
    kept = np.flatnonzero(inside)[voiced[places[inside]]]
    ratio = f0.numpy()[kept] / track[places[kept]]
    octaves = sum(abs(ratio * k - 1) < 0.05 for k in (1 / 3, 0.5, 2, 3))
    return 100 * np.mean(abs(ratio - 1) < 0.02), 100 * np.mean(octaves)


def print_errors(trackers, snr, n):
    """Prints how right f0 is, a row a method.

    Arguments
    ---------
    trackers : dict
        Of `make_methods`.
    snr : float
        In dB.
    n : int
        Voices of 1.5 s for each f0.
    """
    print(
        f"\nf0 at {snr:g} dB: % of voiced frames within 2 %, % with octave "
        f"errors\n{'':35}"
        + "".join(
            f"{f'{f0} {word}':>14}" for word in ("Hz", "gliding") for f0 in F0
        )
    )
    voices = [
        voice_of(f0, glides, snr, n) for glides in (False, True) for f0 in F0
    ]
    with torch.no_grad():
        for name, tracker in trackers.items():
            row = f"{name:35}"
            for wav, track in voices:
                right, octaves = errors_of(tracker, wav, track)
                row += f"{right:8.1f}{octaves:6.1f}"
            print(row, flush=True)


def main(argv=None):
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--utterances", type=int, default=12)
    parser.add_argument("--data_folder", help="IEMOCAP's layout")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--snr", type=float, nargs="+", default=[30.0, 10.0], help="dB"
    )
    parser.add_argument(
        "--voices", type=int, default=6, help="of 1.5 s for each f0"
    )
    add_rows_option(parser)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    timed, trackers = make_methods()
    if arguments.data_folder:
        wavs = real_speech(arguments.data_folder, arguments.utterances)
    else:
        wavs = synthetic_speech(arguments.utterances)
    found = print_speed(timed, wavs, arguments.rounds)
    write_rows(arguments.rows, found)
    for snr in arguments.snr:
        print_errors(trackers, snr, arguments.voices)


if __name__ == "__main__":
    main()
