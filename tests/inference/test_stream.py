"""Batches planned from the whole list, and what goes through them."""

import dataclasses
import gc
import os
import threading
import weakref

import numpy as np
import pytest
import soundfile
import torch

from speechbrain_ser.inference import stream as stream_module
from speechbrain_ser.inference.plan import Plan
from speechbrain_ser.inference.speech import Sound, Speech, open_all
from speechbrain_ser.inference.stream import labelled, read_ahead
from speechbrain_ser.utils.errors import InputError
from tests.inference.fake import Fake, noise


def sounds_of(folder, seconds, speakers=None):
    """Noise of these durations, looked at."""
    speech = [
        Speech(
            noise(folder / f"{i}.wav", each, seed=i, size=0.02 * (i % 7 + 1)),
            speaker=None if speakers is None else speakers[i],
        )
        for i, each in enumerate(seconds)
    ]
    return open_all(speech)


def posteriors(results):
    """Index to posterior, in the order of the classes."""
    return {
        index: list(outcome.posterior.values()) for index, outcome in results
    }


SECONDS = [0.5, 0.1, 0.4, 0.2, 0.6, 0.3, 0.7, 0.15, 0.25, 0.35]


def test_each_gets_what_it_gets_alone(tmp_path):
    """In batches of like length, the errors of others beside it."""
    sounds = sounds_of(tmp_path, SECONDS)
    sounds.insert(3, InputError("gone."))
    fake = Fake()
    results = dict(labelled(fake, sounds))
    assert fake.sizes == [4, 4, 2]
    assert sorted(results) == list(range(11))
    assert str(results.pop(3)) == "gone."
    for index, outcome in results.items():
        signal = sounds[index].read(16000)
        (alone,) = Fake().classify([signal])
        wanted = Fake().outcome([alone], [1.0])
        assert outcome.posterior == wanted.posterior
        assert outcome.own == wanted.own
        assert torch.equal(outcome.embedding, wanted.embedding)


@pytest.mark.parametrize("mates", [False, True])
def test_what_is_missing_is_computed_in_the_same_batches(tmp_path, mates):
    """Whatever was done before: the batches are those of the whole list."""
    sounds = sounds_of(tmp_path, SECONDS)
    whole = posteriors(labelled(Fake(mates=mates), sounds))
    order = sorted(range(10), key=lambda i: SECONDS[i])
    done = {order[0], order[5], *order[8:]}
    fake = Fake(mates=mates)
    rest = posteriors(labelled(fake, sounds, done))
    assert fake.sizes == [4, 4]
    assert rest == {i: whole[i] for i in range(10) if i not in done}
    fake = Fake(mates=mates)
    assert posteriors(labelled(fake, sounds, set(range(10)))) == {}
    assert fake.sizes == [] and fake.framed == 0


@pytest.mark.parametrize("by", ["train", "speaker"])
def test_each_piece_is_told_once(tmp_path, by, monkeypatch):
    """When it was seen, not when its batch is whole."""
    monkeypatch.setattr(stream_module, "BUDGET", 0)
    sounds = sounds_of(tmp_path, [0.1, 0.2, 2.5], "aba")
    os.unlink(sounds[1].speech.path)
    told = []
    fake = Fake(by, max_seconds=1.0)
    rows = labelled(fake, sounds, tell=lambda: told.append(len(fake.sizes)))
    assert "can't be read" in str(dict(rows)[1])
    assert told == ([0, 0, 0, 0, 1] if by == "train" else [0] * 5)


def test_long_speech_is_labelled_in_pieces(tmp_path):
    """Their mean by duration; it comes when all of them are there."""
    sounds = sounds_of(tmp_path, [0.2, 2.5, 0.3])
    fake = Fake(max_seconds=1.0)
    plan = Plan(fake, sounds)
    assert dict(plan.counts) == {0: 1, 1: 3, 2: 1}
    results = posteriors(labelled(fake, sounds, batch_size=2))
    assert fake.sizes == [2, 2, 1]
    signal = sounds[1].read(16000)
    cuts = [0, 13333, 26667, 40000]
    pieces = [signal[a:b] for a, b in zip(cuts, cuts[1:])]
    each = [Fake().classify([piece])[0]["posterior"] for piece in pieces]
    weights = torch.tensor([float(len(piece)) for piece in pieces])
    mean = (torch.stack(each) * weights[:, None]).sum(0) / weights.sum()
    assert results[1] == pytest.approx(mean.tolist(), abs=1e-6)
    # done: its batches are not computed, but for the sake of others
    fake = Fake(max_seconds=1.0)
    assert set(posteriors(labelled(fake, sounds, {1}, 2))) == {0, 2}
    assert fake.sizes == [2]


def test_errors_of_pieces_are_errors_of_the_whole(tmp_path):
    """Numbers that are none, and silence that no single piece shows."""
    bad = np.full(40000, 0.1)
    bad[35000] = np.nan
    silent = np.zeros((40000, 2))
    silent[:, 0] = 0.1
    half = np.zeros(40000)
    half[:15000] = 0.1
    for name, samples in (("bad", bad), ("silent", silent), ("half", half)):
        path = tmp_path / f"{name}.wav"
        soundfile.write(path, samples, 16000, "FLOAT")
    speech = [
        Speech(str(tmp_path / "bad.wav"), start=0.0),
        Speech(str(tmp_path / "silent.wav"), channel=2),
        Speech(str(tmp_path / "half.wav")),
    ]
    sounds = open_all(speech)
    sounds[0] = Sound(speech[0], sounds[2].info)  # as a broken codec
    results = dict(labelled(Fake(max_seconds=1.0), sounds))
    assert "NaN or infinite" in str(results[0])
    assert "only zeros" in str(results[1])
    assert results[2].label


def test_a_model_without_numbers_is_an_error_of_the_row(tmp_path):
    """And of this row alone."""
    sounds = sounds_of(tmp_path, [0.1, 0.2, 0.3])

    class Odd(Fake):
        """Fails on the second."""

        def classify(self, frames, statistics=None):
            given = super().classify(frames, statistics)
            given[1]["posterior"] = given[1]["posterior"] * torch.nan
            return given

        def frames(self, signal):
            if len(signal) == 4800:
                raise InputError("the encoder wants more.")
            return super().frames(signal)

    results = dict(labelled(Odd(), sounds))
    assert "gives no numbers" in str(results[1])
    assert str(results[2]) == "the encoder wants more."
    assert results[0].label


def test_speakers_are_standardised_by_all_that_they_say(tmp_path, monkeypatch):
    """Also by what is done; kept frames or not makes no difference."""
    speakers = [str(i % 3) for i in range(10)]
    sounds = sounds_of(tmp_path, SECONDS, speakers)
    sounds.append(InputError("gone."))
    fake = Fake("speaker")
    whole = dict(labelled(fake, sounds))
    del whole[10]
    whole = posteriors(whole.items())
    assert fake.framed == 10  # kept between the passes
    for index, posterior in whole.items():
        own = [
            sounds[i].read(16000)
            for i in range(10)
            if speakers[i] == speakers[index]
        ]
        size = torch.stack([each.abs().mean() for each in own]).mean()
        signal = sounds[index].read(16000)
        (alone,) = Fake().classify([signal], [size])
        wanted = alone["posterior"].tolist()
        assert posterior == pytest.approx(wanted, abs=1e-6)
    monkeypatch.setattr(stream_module, "BUDGET", 0)
    fake = Fake("speaker")
    again = dict(labelled(fake, sounds))
    del again[10]
    assert posteriors(again.items()) == whole
    assert fake.framed == 20
    rest = dict(labelled(Fake("speaker"), sounds, done={0, 1, 10}))
    assert posteriors(rest.items()) == {i: whole[i] for i in range(2, 10)}


def test_a_speaker_who_is_not_known_is_said():
    """With the switch that says him."""
    info = dataclasses.make_dataclass("Info", ["frames", "sample_rate"])
    sound = Sound(Speech("a.wav"), info(16000, 16000))
    with pytest.raises(InputError, match="'a.wav' is not known.*--speakers"):
        Plan(Fake("speaker"), [sound])


def test_contexts_say_what_else_decides(tmp_path):
    """Nothing; who shares the batch; what the speaker says besides."""
    sounds = sounds_of(tmp_path, SECONDS, [str(i % 2) for i in range(10)])
    keys = [f"key{i}" for i in range(10)]
    assert Plan(Fake(), sounds).contexts(keys) == [""] * 10
    for fake, same in (
        (Fake(mates=True), lambda i, j: i in mates and j in mates),
        (Fake("speaker"), lambda i, j: i % 2 == j % 2),
    ):
        plan = Plan(fake, sounds)
        before = plan.contexts(keys)
        (mates,) = [batch for batch in plan.batches if 3 in batch]
        after = plan.contexts([*keys[:3], "edited", *keys[4:]])
        changed = [i for i in range(10) if before[i] != after[i]]
        assert changed == [i for i in range(10) if same(3, i)]
        assert 1 < len(changed) < 10


def test_few_signals_are_held_at_once(tmp_path, monkeypatch):
    """However many files there are, and however long one is."""
    long = [noise(tmp_path / "long.wav", 20.0)]
    short = [noise(tmp_path / f"{i}.wav", 0.05 + i / 4000) for i in range(80)]
    sounds = open_all([Speech(path) for path in long + short])
    held, most, lock = [0], [0], threading.Lock()
    read = Sound.read

    def count(by):
        """Under a lock: signals are read in threads."""
        with lock:
            held[0] += by
            most[0] = max(most[0], held[0])

    def counted(*arguments):
        signal = read(*arguments)
        count(1)
        weakref.finalize(signal, count, -1)
        return signal

    monkeypatch.setattr(Sound, "read", counted)
    gc.disable()  # none is freed by chance
    try:
        for _ in labelled(Fake(max_seconds=0.2), sounds, ahead=0.5):
            pass
    finally:
        gc.enable()
    assert held[0] == 0
    # a batch, what is ahead, and one or two on their way
    assert 8 <= most[0] <= 4 + 0.5 / 0.05 + 2


def test_reading_goes_on_while_the_model_computes():
    """So many groups ahead, no more."""
    asked = []
    gone = threading.Event()

    def read(number):
        """Notes what is read."""
        asked.append(number)
        if number == 3:
            gone.set()
        return number

    stream = read_ahead(read, range(20), 4, threads=1)
    assert next(stream) == 0
    assert gone.wait(10)
    stream.close()
    assert sorted(asked) == list(range(4))


def test_long_things_are_not_read_far_ahead():
    """By their size, but one a thread always."""
    asked = []

    def read(number):
        """Notes what is read."""
        asked.append(number)
        return number

    stream = read_ahead(read, range(20), 4.0, lambda n: 9.0, threads=2)
    assert [next(stream) for _ in range(5)] == list(range(5))
    stream.close()
    assert 5 <= len(asked) <= 6
    assert list(read_ahead(read, [], 4)) == []
    with pytest.raises(ZeroDivisionError):
        list(read_ahead(lambda n: 1 / n, [1, 0, 1], 4))
