"""Frame cache: never stale, never half, filled by several, equal to no cache."""

import copy
import errno
import hashlib
import json
import os
import pickle
import time

import numpy as np
import pytest
import soundfile
import torch

from conftest import save_ssl_model
from speechbrain_ser.data import frame_cache
from speechbrain_ser.data.frame_cache import FrameCache
from speechbrain_ser.lobes.features import LogMel, LogMelPitchEnergy
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.utils.audio import load_audio, with_speeds
from speechbrain_ser.utils.errors import InputError
from tests import processes
from tests.data.helpers import fill_slowly


def make(source, **setting):
    """An encoder with frozen blocks, in eval mode."""
    setting = {"frozen_layers": 2, **setting}
    return SSLEncoder(str(source), save_path="unused", **setting).eval()


@pytest.fixture
def encoder(small_wav2vec2):
    """Two of three blocks frozen."""
    return make(small_wav2vec2)


@pytest.fixture
def cache(tmp_path, encoder):
    """An empty one."""
    return FrameCache(str(tmp_path / "frames"), encoder)


def fill(cache, annotation, encoder):
    """Returns how many utterances were computed."""
    return cache.fill(annotation, encoder, show=False)


def held(cache):
    """Name to time of change of the files that count."""
    return {
        name: os.stat(os.path.join(cache.folder, name)).st_mtime_ns
        for name in os.listdir(cache.folder)
        if name.endswith(".npy") and not name.startswith(".")
    }


def collate(frames):
    """Pads frames; a function of its own, since workers need it."""
    lengths = torch.tensor([len(f) for f in frames])
    batch = torch.nn.utils.rnn.pad_sequence(frames, batch_first=True)
    return batch, lengths / batch.shape[1]


class Frames(torch.utils.data.Dataset):
    """Reads a cache."""

    def __init__(self, cache, entries):
        self.cache, self.entries = cache, entries

    def __len__(self):
        return len(self.entries)

    def __getitem__(self, index):
        return self.cache.read(self.entries[index])


def start_filling(model, cache, annotation, tmp_path, count):
    """Starts processes that fill at 10 utterances a second, all at once."""
    go = tmp_path / "go"
    folder = os.path.dirname(cache.folder)
    started = [
        processes.start(fill_slowly, model, folder, annotation, str(go))
        for _ in range(count)
    ]
    deadline = time.time() + 60
    while len(list(tmp_path.glob("go.*"))) < count:
        assert time.time() < deadline
        time.sleep(0.01)
    go.touch()
    return started


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "wavlm"])
def test_cached_is_uncached(kind, tmp_path, tones):
    """Output and gradients of a padded batch, within half precision."""
    encoder = make(save_ssl_model(tmp_path / "m", kind, norm="layer"))
    cache = FrameCache(tmp_path / "frames", encoder)
    assert fill(cache, tones, encoder) == len(tones)
    entries = list(tones.values())[2:8]
    given = (
        collate([load_audio(entry) for entry in entries]),
        collate([cache.read(entry) for entry in entries]),
    )
    assert given[1][0].dtype == torch.float16
    found = []
    for batch, lengths in given:
        frames, lengths = encoder(batch, lengths)
        counts = (lengths * frames.shape[1]).round().int()
        valid = torch.cat([f[:n] for f, n in zip(frames, counts)])
        (valid**3).mean().backward()
        gradients = [p.grad for p in encoder.parameters() if p.requires_grad]
        found.append([valid, *gradients])
        encoder.zero_grad(set_to_none=True)
    assert len(found[0]) > 10
    for wave, kept in zip(*found):
        error = (wave - kept).norm() / wave.norm().clamp(min=1e-4)
        assert error < 2e-3
    assert not torch.equal(found[0][0], found[1][0])


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_what_is_kept_is_the_utterance_alone(tmp_path, tones, norm):
    """In batches of other lengths too, for both kinds of model."""
    encoder = make(save_ssl_model(tmp_path / "m", norm=norm))
    cache = FrameCache(tmp_path / "frames", encoder)
    tones["same length"] = dict(tones["tone3"], wav=tones["tone7"]["wav"])
    fill(cache, tones, encoder)
    for entry in tones.values():
        alone, _ = encoder.prefix(load_audio(entry)[None], torch.ones(1))
        kept = cache.read(entry)
        torch.testing.assert_close(kept, alone[0].half(), atol=2e-3, rtol=2e-3)
    assert fill(cache, tones, encoder) == 0


def test_always_float32_without_autocast(cache, encoder, tones):
    """A run in bf16 keeps the same frames."""
    entry = tones["tone1"]
    with torch.autocast("cpu", torch.bfloat16):
        fill(cache, {"a": entry}, encoder.train())
    alone, _ = encoder.prefix(load_audio(entry)[None], torch.ones(1))
    torch.testing.assert_close(
        cache.read(entry).float(), alone[0], atol=1e-3, rtol=1e-3
    )


def test_large_values_are_kept_in_float32(cache, encoder, tones):
    """Half precision ends at 65504."""
    with torch.no_grad():
        norm = encoder.model.encoder.layers[1].final_layer_norm
        norm.bias[5] = 1e5
    cache = FrameCache(os.path.dirname(cache.folder), encoder)
    fill(cache, tones, encoder)
    kept = cache.read(tones["tone0"])
    assert kept.dtype == torch.float32
    assert (kept[:, 5] > 9e4).all()


def test_frames_that_are_no_numbers_are_not_kept(cache, encoder, tones):
    """Of weights or audio that are none: the recording is named."""
    with torch.no_grad():
        encoder.model.encoder.layers[1].final_layer_norm.bias[0] = torch.nan
    cache.digest = encoder.prefix_digest()
    with pytest.raises(InputError, match=r"frames of .*tone\d+.wav are NaN"):
        cache.fill(tones, encoder, show=False)


def test_killed_and_continued(small_wav2vec2, cache, encoder, tones, tmp_path):
    """What a killed process finished is not touched again."""
    (child,) = start_filling(small_wav2vec2, cache, tones, tmp_path, 1)
    while not os.path.isdir(cache.folder) or len(held(cache)) < 3:
        assert child.returncode is None, child.stderr
        time.sleep(0.01)
    child.kill()
    before = held(cache)
    assert 3 <= len(before) < len(tones)
    assert fill(cache, tones, encoder) == len(tones) - len(before)
    after = held(cache)
    assert len(after) == len(tones)
    assert before.items() <= after.items()


def test_two_processes_fill_together(
    small_wav2vec2, cache, encoder, tones, tmp_path
):
    """A whole cache, and neither did it all; a third finds nothing to do."""
    started = start_filling(small_wav2vec2, cache, tones, tmp_path, 2)
    assert [child.wait().returncode for child in started] == [0, 0]
    computed = [int(child.stdout) for child in started]
    assert sum(computed) >= len(tones)
    assert max(computed) < len(tones)
    for entry in tones.values():
        alone, _ = encoder.prefix(load_audio(entry)[None], torch.ones(1))
        torch.testing.assert_close(
            cache.read(entry), alone[0].half(), atol=2e-3, rtol=2e-3
        )
    assert fill(cache, tones, encoder) == 0


def test_count_reads_the_header_alone(cache, encoder, tones, monkeypatch):
    """As many as are read, from few bytes; what is not whole is an error."""
    fill(cache, tones, encoder)
    expected = [len(cache.read(entry)) for entry in tones.values()]
    assert len(set(expected)) == len(tones)
    monkeypatch.setattr(np, "fromfile", None)
    assert [cache.count(entry) for entry in tones.values()] == expected
    with pytest.raises(TypeError):
        cache.read(tones["tone0"])
    path = cache.path(tones["tone3"])
    os.truncate(path, os.path.getsize(path) - 1)
    with pytest.raises(InputError, match=f"{path}.*damaged"):
        cache.count(tones["tone3"])
    os.unlink(path)
    with pytest.raises(InputError, match=f"{path}.*missing"):
        cache.count(tones["tone3"])


def test_other_model_is_another_cache(cache, encoder, small_wav2vec2, tones):
    """A weight, the depth, the rate; the wrong encoder is not filled from."""
    folder = os.path.dirname(cache.folder)
    fill(cache, tones, encoder)
    changed = copy.deepcopy(encoder)
    with torch.no_grad():
        changed.model.encoder.layers[0].final_layer_norm.bias[0] += 1e-3
    deeper = make(small_wav2vec2, frozen_layers=3)
    others = {
        FrameCache(folder, other, rate).folder
        for other, rate in (
            (changed, 16000),
            (deeper, 16000),
            (encoder, 8000),
        )
    }
    assert len(others | {cache.folder}) == 4
    assert FrameCache(folder, make(small_wav2vec2)).folder == cache.folder
    tones["new"] = dict(tones["tone0"], stop=4000, duration=0.25)
    with pytest.raises(ValueError, match="another encoder"):
        fill(cache, tones, changed)
    assert fill(FrameCache(folder, deeper), tones, deeper) == len(tones)


def test_changed_audio_or_part_is_another_entry(cache, encoder, tones):
    """The same path with other bytes, and the same bytes at another path."""
    entry = tones["tone0"]
    fill(cache, tones, encoder)
    old = cache.read(entry)
    part = dict(entry, start=1000, stop=5000, duration=0.25)
    with pytest.raises(InputError, match="missing"):
        cache.read(part)
    assert fill(cache, {"part": part}, encoder) == 1
    assert len(cache.read(part)) == 49
    with pytest.raises(InputError, match="missing"):
        cache.read(dict(part, start=1001))
    wav, rate = soundfile.read(entry["wav"])
    soundfile.write(entry["wav"], 0.5 * wav[::-1], rate)
    with pytest.raises(InputError, match="missing"):
        cache.read(entry)
    assert fill(cache, tones, encoder) == 1
    assert not torch.equal(cache.read(entry), old)
    copied = entry["wav"].replace("tone0", "copy")
    os.rename(entry["wav"], copied)
    assert fill(cache, {"copy": dict(entry, wav=copied)}, encoder) == 0
    with pytest.raises(InputError, match=entry["wav"]):
        cache.read(entry)


@pytest.mark.parametrize("left", [0, 5, 60, 200, -1, "more", "text", "shape"])
def test_damaged_file_is_computed_again(cache, encoder, tones, left):
    """Cut anywhere, too long, no array, or an array of another shape."""
    fill(cache, tones, encoder)
    entry = tones["tone4"]
    good, path = cache.read(entry), cache.path(entry)
    whole = open(path, "rb").read()
    if left == "shape":
        np.save(path, np.zeros((4, 5), np.float16))
    else:
        other = {"more": whole + b"0", "text": b"x" * len(whole)}
        with open(path, "wb") as file:
            file.write(other[left] if left in other else whole[:left])
    with pytest.raises(InputError, match=f"{path}.*damaged"):
        cache.read(entry)
    assert fill(cache, tones, encoder) == 1
    torch.testing.assert_close(cache.read(entry), good, atol=2e-3, rtol=2e-3)


def test_disk_too_small_is_said_before(cache, encoder, tones, monkeypatch):
    """Bytes needed: the frames of what is missing, by 32 channels, by 2."""
    part = {key: tones[key] for key in list(tones)[:5]}
    fill(cache, part, encoder)
    samples = [entry["stop"] for entry in list(tones.values())[5:]]
    # strides 5, 4 and 4, kernels 10, 8 and 4
    frames = [((n - 5) // 5 - 4) // 4 // 4 for n in samples]
    needed = 64 * sum(frames)
    monkeypatch.setattr(
        frame_cache.shutil,
        "disk_usage",
        lambda folder: shutil_usage(free=needed // 2),
    )
    with pytest.raises(InputError) as caught:
        fill(cache, tones, encoder)
    words = str(caught.value).split()
    said = float(words[words.index("needs") + 1])
    assert said == pytest.approx(needed / 1e9, rel=0.02)
    assert "7 utterances" in str(caught.value)
    assert "another disk, or switch the cache off" in str(caught.value)
    assert len(held(cache)) == 5


def shutil_usage(free):
    """What shutil.disk_usage gives."""
    return type("usage", (), {"free": free})


def test_disk_full_while_writing(cache, encoder, tones, monkeypatch):
    """Half of the fourth file fits: it is gone, three count, and go on."""

    class Full:
        """A file on a disk that ends in the middle of it."""

        def __init__(self, path):
            self.file = open(path, "wb")

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, content):
            """Writes half."""
            self.file.write(content[: len(content) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    written = []

    def open_or_full(path, mode="r", **kwargs):
        """Stands in for open."""
        written.extend([path] * (mode == "wb"))
        full = mode == "wb" and len(written) == 4
        return Full(path) if full else open(path, mode, **kwargs)

    monkeypatch.setattr(frame_cache, "open", open_or_full, raising=False)
    with pytest.raises(InputError, match="needs .* GB more for 9 utterances"):
        fill(cache, tones, encoder)
    names = os.listdir(cache.folder)
    assert sorted(names) == sorted([*held(cache), "cache.json"])
    assert len(held(cache)) == 3
    assert fill(cache, tones, encoder) == len(tones) - 3


def test_folder_that_cannot_be_written(tmp_path, encoder, tones):
    """A file stands where the folder should be."""
    (tmp_path / "taken").touch()
    cache = FrameCache(tmp_path / "taken", encoder)
    with pytest.raises(InputError, match="taken.*another folder"):
        fill(cache, tones, encoder)


def test_nothing_frozen_nothing_kept(tmp_path, small_wav2vec2):
    """Not even with the convolutions frozen."""
    encoder = make(small_wav2vec2, frozen_layers=0)
    with pytest.raises(InputError, match="freeze blocks"):
        FrameCache(tmp_path, encoder)


def test_workers_read(cache, encoder, tones):
    """Each utterance's own frames; a missing one is an error, not silence."""
    entries = list(tones.values())
    fill(cache, {str(i): entry for i, entry in enumerate(entries)}, encoder)
    sent = pickle.dumps(cache)  # as to a worker that is spawned
    assert len(sent) < 10_000
    assert pickle.loads(sent).read(entries[3]).equal(cache.read(entries[3]))
    loader = torch.utils.data.DataLoader(
        Frames(cache, entries),
        batch_size=5,
        num_workers=2,
        collate_fn=collate,
    )
    found = [
        frames[: round(float(share * len(frames)))]
        for batch, lengths in loader
        for frames, share in zip(batch, lengths)
    ]
    assert len(found) == len(entries)
    for frames, entry in zip(found, entries):
        assert torch.equal(frames, cache.read(entry))
    os.unlink(cache.path(entries[7]))
    with pytest.raises(InputError, match=f"{entries[7]['wav']} is missing"):
        list(loader)


def test_training_on_the_cache_leaves_the_frozen_bits(cache, encoder, tones):
    """The third block moves, nothing else; so the cache stays valid."""
    fill(cache, tones, encoder)
    before = copy.deepcopy(encoder.state_dict())
    step = torch.optim.Adam(
        [p for p in encoder.parameters() if p.requires_grad]
    )
    for _ in range(2):
        frames = [cache.read(entry) for entry in tones.values()]
        (encoder.train()(*collate(frames))[0] ** 3).sum().backward()
        step.step()
    changed = {
        name
        for name, value in encoder.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed
    assert all(name.startswith("model.encoder.layers.2.") for name in changed)
    assert FrameCache("any", encoder).digest == cache.digest


def test_says_what_it_holds(cache, encoder, tones):
    """For a person who finds the folder."""
    fill(cache, tones, encoder)
    with open(os.path.join(cache.folder, "cache.json")) as file:
        about = json.load(file)
    assert about["frozen_blocks"] == 2
    assert about["source"] == encoder.source
    assert about["sample_rate"] == 16000
    assert about["versions"]["torch"] == torch.__version__


def test_log_mel_is_kept_bit_for_bit(tmp_path, tones):
    """With half=False: float32, though half precision could hold it."""
    features = LogMel(n_mels=26)
    found = {}
    for half in (True, False):
        cache = FrameCache(tmp_path / str(half), features, half=half)
        assert fill(cache, tones, features) == len(tones)
        found[half] = {key: cache.read(e) for key, e in tones.items()}
        with open(os.path.join(cache.folder, "cache.json")) as file:
            about = json.load(file)
        assert about["n_mels"] == 26 and "log-Mel" in about["what"]
        assert about["dtype"].startswith("float16" if half else "float32")
        assert ("float16" in about["dtype"]) == half
        assert fill(cache, tones, features) == 0
    for key, entry in tones.items():
        alone, _ = features(load_audio(entry)[None], torch.ones(1))
        assert len(alone[0]) == entry["stop"] // 160 + 1
        kept = found[False][key]
        assert kept.dtype == torch.float32 and torch.equal(kept, alone[0])
        assert found[True][key].dtype == torch.float16


def test_log_mel_needs_the_bytes_that_it_takes(tmp_path, tones, monkeypatch):
    """Four a number: told before the first is computed, and no more."""
    features = LogMel(n_mels=26)
    frames = sum(entry["stop"] // 160 + 1 for entry in tones.values())
    for free, enough in ((4 * 26 * frames, True), (4 * 26 * frames - 1, False)):
        monkeypatch.setattr(
            frame_cache.shutil,
            "disk_usage",
            lambda folder, free=free: shutil_usage(free=free),
        )
        cache = FrameCache(tmp_path / str(free), features, half=False)
        if enough:
            assert fill(cache, tones, features) == len(tones)
        else:
            with pytest.raises(InputError, match="12 utterances"):
                fill(cache, tones, features)
            assert not held(cache)


def test_log_mel_of_other_settings_is_another_cache(tmp_path):
    """Every setting decides the numbers."""
    folders = {
        FrameCache(tmp_path, LogMel(**settings), half=False).folder
        for settings in ({}, {"n_mels": 26}, {"hop_length": 5})
    }
    assert len(folders) == 3


def documented_name(wav, *part):
    """What cache.json says of a file's name: SHA-256 of these."""
    with open(wav, "rb") as file:
        audio = hashlib.sha256(file.read()).hexdigest()
    return hashlib.sha256(f"{audio} {part}".encode()).hexdigest() + ".npy"


def test_name_without_a_speed_is_what_it_was(tmp_path, tones):
    """Nothing that was kept before there were speeds is computed again."""
    features = LogMel()
    cache = FrameCache(tmp_path / "frames", features, half=False)
    entry = tones["tone3"]
    wav, stop = entry["wav"], entry["stop"]
    whole = {"wav": wav, "duration": entry["duration"]}
    later = whole | {"start": 5}
    for part, name in (
        (entry, (0, stop, 16000)),
        (whole, (0, None, 16000)),
        (later, (5, None, 16000)),
        (entry | {"speed": 0.9}, (0, stop, 16000, 0.9)),
        (whole | {"speed": 1.2}, (0, None, 16000, 1.2)),
        (whole | {"channel": "mix"}, (0, None, 16000, "mix")),
        (whole | {"channel": 2}, (0, None, 16000, "2")),
    ):
        found = os.path.split(cache.path(part))
        assert found == (cache.folder, documented_name(wav, *name))
    other = FrameCache(tmp_path / "frames", features, sample_rate=8000)
    name = documented_name(wav, 0, stop, 8000)
    assert os.path.basename(other.path(entry)) == name
    # as the code of before named it
    pinned = tmp_path / "pinned.raw"
    pinned.write_bytes(b"speech")
    found = os.path.basename(cache.path({"wav": str(pinned), "stop": 7}))
    assert found.startswith("c3395e8d")


def test_each_speed_is_kept_for_itself(tmp_path, tones):
    """Beside the utterance itself; as many frames as the copy has."""
    features = LogMel()
    cache = FrameCache(tmp_path / "frames", features, half=False)
    part = {key: tones[key] for key in ("tone1", "tone2")}
    speeds = [0.8, 1.25]
    every = with_speeds(part, speeds)
    assert fill(cache, part, features) == 2
    kept = held(cache)
    assert fill(cache, every, features) == 4
    assert len(held(cache)) == 6 and kept.items() <= held(cache).items()
    assert fill(cache, every, features) == 0
    for key, entry in every.items():
        wav = load_audio(entry)
        alone, _ = features(wav[None], torch.ones(1))
        assert torch.equal(cache.read(entry), alone[0])
        assert cache.count(entry) == len(wav) // 160 + 1
    slow, plain, fast = (
        cache.count(every[key])
        for key in ("tone1-speed0.8", "tone1", "tone1-speed1.25")
    )
    assert slow > plain > fast
    with pytest.raises(InputError, match="missing"):
        cache.read(part["tone1"] | {"speed": 0.9})
    with open(os.path.join(cache.folder, "cache.json")) as file:
        assert "speed" in json.load(file)["file_name"]


def test_43_channels_are_kept_bit_for_bit(tmp_path, tones):
    """Pitch in Hz and levels in dB, in float32."""
    features = LogMelPitchEnergy()
    part = {key: tones[key] for key in ("tone0", "tone5")}
    cache = FrameCache(tmp_path / "frames", features, half=False)
    assert fill(cache, part, features) == 2
    assert fill(cache, part, LogMelPitchEnergy()) == 0
    for entry in part.values():
        alone, _ = features(load_audio(entry)[None], torch.ones(1))
        kept = cache.read(entry)
        assert kept.dtype == torch.float32 and torch.equal(kept, alone[0])
    with open(os.path.join(cache.folder, "cache.json")) as file:
        about = json.load(file)
    assert about["channels"] == 43 and about["pitch"]["lowest"] == 60
    other = FrameCache(tmp_path / "frames", LogMelPitchEnergy(lowest_f0=70.0))
    plain = FrameCache(tmp_path / "frames", features.log_mel)
    assert len({c.folder for c in (cache, other, plain)}) == 3
