"""EmotionRecognizer: files, arrays, pieces, batches, temperature, speakers."""

import math

import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from conftest import plain_config
from speechbrain_ser.inference.export import write_folder
from speechbrain_ser.inference.folder import model_of
from speechbrain_ser.inference.languages import listen
from speechbrain_ser.inference.recognizer import (
    EmotionRecognizer,
    cut,
    signal_of,
)
from speechbrain_ser.utils.audio import load_audio
from speechbrain_ser.utils.errors import InputError
from tests.inference.kinds import KINDS


@pytest.fixture
def recognizer(model_folder):
    """Of a probe with random weights."""
    return EmotionRecognizer.from_folder(model_folder, device="cpu")


def noise(seconds, seed=0, rate=16000):
    """Noise with a slope, float32."""
    draw = np.random.default_rng(seed)
    wav = draw.normal(scale=0.1, size=round(seconds * rate)).cumsum()
    return (wav / np.abs(wav).max()).astype(np.float32)


def check_close(one, other, tolerance=1e-6):
    """Whether two outcomes say the same."""
    assert one.label == other.label
    for word, value in one.posterior.items():
        assert abs(value - other.posterior[word]) <= tolerance
    assert torch.allclose(one.embedding, other.embedding, atol=1e-4)


def test_a_file_is_its_samples(recognizer, tmp_path):
    """Of another rate and of two channels too."""
    wav = noise(1.3, rate=22050)
    both = np.stack([wav, noise(1.3, 1, 22050)], axis=1)
    path = tmp_path / "ä b,#.wav"
    soundfile.write(path, both, 22050, "FLOAT")
    told = recognizer.label(path)
    check_close(told, recognizer.label(both, rate=22050))
    check_close(told, recognizer.label(torch.from_numpy(both.T.copy()), 22050))
    check_close(told, recognizer.label(both.mean(axis=1), 22050))
    check_close(
        recognizer.label(str(path), channel=2),
        recognizer.label(both[:, 1], 22050),
    )
    assert told.confidence == max(told.posterior.values())
    assert abs(sum(told.posterior.values()) - 1) < 1e-6


def test_whole_numbers_are_parts_of_their_largest(recognizer):
    """16-bit samples are what a file of them gives."""
    wav = noise(0.7)
    whole = np.round(wav * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16)
    check_close(
        recognizer.label(whole, 16000), recognizer.label(whole / 2**15, 16000)
    )


def test_the_plain_computation(recognizer):
    """Features, statistics, a linear layer, a softmax, by hand."""
    wav = torch.from_numpy(noise(1.1))
    model = recognizer.model
    mels, _ = model.fixed.encoder(wav[None], torch.ones(1))
    frames = mels[0].double()
    vector = torch.cat([frames.mean(0), frames.std(0, correction=0)])
    weight = model.probe.linear.weight.double()
    logits = weight @ vector + model.probe.linear.bias.double()
    expected = torch.softmax(logits / 2.0, 0)  # the folder's temperature
    told = recognizer.label(wav, 16000)
    found = list(told.posterior.values())
    assert np.allclose(found, expected.detach().numpy(), atol=1e-5)
    assert list(told.posterior) == recognizer.labels
    assert torch.allclose(told.embedding.double(), vector, atol=1e-3)
    assert torch.equal(recognizer.embed(wav, 16000), told.embedding)


def test_a_batch_is_its_parts_in_any_order(recognizer):
    """Lengths and company change nothing."""
    speech = [noise(s, i) for i, s in enumerate((2.0, 0.4, 1.2, 0.9, 3.0))]
    told = recognizer.label_batch(speech, 16000)
    turned = recognizer.label_batch(speech[::-1], [16000] * 5)[::-1]
    for one, other, wav in zip(told, turned, speech):
        check_close(one, other)
        check_close(one, recognizer.label(wav, 16000))


def test_long_speech_is_the_mean_of_its_pieces(recognizer):
    """Weighed by their durations, before the temperature."""
    recognizer.max_seconds = 1.0
    wav = noise(2.6)
    pieces = cut(torch.from_numpy(wav), 16000)
    assert [len(p) for p in pieces] == [13867, 13866, 13867]
    recognizer.temperature = 1.0
    parts = recognizer.label_batch(pieces, 16000)
    weights = [len(p) / len(wav) for p in pieces]
    mean = {
        word: sum(w * p.posterior[word] for w, p in zip(weights, parts))
        for word in recognizer.labels
    }
    whole = recognizer.label(wav, 16000)
    for word, value in mean.items():
        assert abs(whole.posterior[word] - value) < 1e-6
    recognizer.temperature = 3.0
    tempered = {word: value ** (1 / 3) for word, value in mean.items()}
    total = sum(tempered.values())
    whole = recognizer.label(wav, 16000)
    for word, value in tempered.items():
        assert abs(whole.posterior[word] - value / total) < 1e-6


def test_a_speaker_by_what_he_says(recognizer):
    """Channels that are shifted and scaled say the same of each speaker."""
    of_train = recognizer.model.probe.standardise
    of_train.mean.fill_(3.0)
    of_train.std.fill_(2.0)
    speech = [torch.from_numpy(noise(1.0, i)) for i in range(6)]
    held = [recognizer.frames(wav) for wav in speech]
    moved = [3 * frames + 5 for frames in held]
    told = []
    for frames in (held, moved):
        own = recognizer.statistics(frames)
        told.append(recognizer.classify(frames, [own] * 6))
    for one, other in zip(*told):
        assert torch.allclose(one["posterior"], other["posterior"], atol=1e-5)
    plain = recognizer.classify(held)
    assert not torch.allclose(plain[0]["posterior"], told[0][0]["posterior"])
    # to what the fit saw of its speakers, zero mean and unit variance
    inner = torch.stack([one["embedding"] for one in told[0]])
    assert torch.allclose(inner.mean(0), torch.zeros(16), atol=1e-4)
    assert torch.allclose(inner.std(0, correction=0), torch.ones(16), atol=1e-3)


def test_a_model_that_standardises_nothing(recognizer):
    """It is refused to take speakers apart."""
    recognizer.model.standardise = None
    with pytest.raises(InputError, match="leave --speakers out"):
        recognizer.standardise_by_speaker()
    with pytest.raises(InputError, match="leave --speakers out"):
        recognizer.statistics([torch.zeros(1, 16)])


def test_its_digest_names_what_it_says(model_folder, recognizer):
    """Another weight, another class: another one; a temperature is none."""
    again = EmotionRecognizer.from_folder(model_folder, device="cpu")
    assert again.digest == recognizer.digest and len(again.digest) == 64
    again.temperature = 5.0
    del again.__dict__["digest"]
    assert again.digest == recognizer.digest
    with torch.no_grad():
        again.model.probe.linear.weight[0, 0] += 1e-3
    del again.__dict__["digest"]
    assert again.digest != recognizer.digest
    other = EmotionRecognizer.from_folder(model_folder, device="cpu")
    other.labels = other.labels[::-1]
    assert other.digest != recognizer.digest


@pytest.mark.parametrize(
    "speech, rate, words",
    [
        (np.zeros(16000, np.float32), 16000, "all samples are zero"),
        (np.full(16000, math.nan, np.float32), 16000, "NaN or infinite"),
        (noise(0.005), 16000, "0.005 s"),
        (np.zeros(0), 16000, "samples of shape"),
        (noise(1.0), None, "need their rate"),
        (noise(1.0), 0, "the rate 0"),
        (noise(1.0), 16000.5, "need their rate"),
        (noise(1.0).reshape(2, 2, -1), 16000, "samples of shape"),
        (noise(1.0) > 0, 16000, "no samples"),
        (np.ones(16000, np.uint8), 16000, "no sign"),
        ("nowhere.wav", None, "nowhere.wav' is missing"),
    ],
)
def test_what_is_no_speech_is_a_sentence(recognizer, speech, rate, words):
    """Silence, NaN, 5 ms, no rate, other shapes, no file."""
    with pytest.raises(InputError, match=words):
        recognizer.label(speech, rate)


def test_a_channel_that_is_not_there(recognizer):
    """It says how many there are."""
    with pytest.raises(InputError, match="no channel 3 of 2"):
        recognizer.label(np.stack([noise(1.0)] * 2), 16000, channel=3)


def test_resampling_is_the_recipes(tmp_path):
    """The same bits as `load_audio` reads."""
    path = str(tmp_path / "a.wav")
    soundfile.write(path, noise(1.0, rate=44100), 44100)
    wav = load_audio({"wav": path})
    assert torch.equal(signal_of(path, None, None, 16000), wav)
    samples, rate = soundfile.read(path, dtype="float32")
    resampled = torchaudio.functional.resample(
        torch.from_numpy(samples), rate, 16000
    )
    assert torch.equal(signal_of(samples, rate, None, 16000), resampled)


def test_a_language_has_its_statistics(tmp_path):
    """Those of the source for its language alone, else the target's."""
    config = plain_config(**KINDS["DANN"](None))
    config["card"] = {"languages_of": {"source": ["de"], "target": ["pl"]}}
    torch.manual_seed(0)
    model = model_of(config["model"])
    model.standardise.mean.fill_(-40)
    model.source_standardise.mean.fill_(-20)
    folder = str(tmp_path / "model")
    write_folder(folder, config, model, None)
    recognizer = EmotionRecognizer.from_folder(folder)
    wav, said, digests = noise(0.5), {}, {}
    for language in ("pl", "de", "fr"):
        listen(recognizer, language)
        said[language] = recognizer.label(wav, 16000)
        digests[language] = recognizer.digest
    assert said["pl"].posterior == said["fr"].posterior
    assert said["pl"].posterior != said["de"].posterior
    assert digests["pl"] == digests["fr"] != digests["de"]
    # the posterior of the last class, after the temperature
    assert said["de"].own == {"arousal": said["de"].posterior["sadness"]}
    prepared = recognizer.model.prepared(recognizer.frames(torch.tensor(wav)))
    expected = recognizer.frames(torch.tensor(wav)) + 40
    assert torch.allclose(prepared[: len(expected)], expected, atol=1e-4)
