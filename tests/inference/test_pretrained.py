"""SpeechBrain's from_hparams of a model folder."""

import numpy as np
import pytest
import soundfile
import torch

from conftest import plain_config
from speechbrain_ser.inference.export import write_folder
from speechbrain_ser.inference.folder import model_of
from speechbrain_ser.inference.pretrained import SERClassifier
from speechbrain_ser.inference.recognizer import EmotionRecognizer
from speechbrain_ser.utils.errors import InputError
from tests.inference.kinds import KINDS, probe


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "probe"], ids=str)
def test_it_says_what_the_recognizer_says(kind, tmp_path, small_wav2vec2):
    """Log posteriors, score, index, word; of files and of padded batches."""
    config = plain_config(**KINDS[kind](small_wav2vec2))
    place = config["encoder"] and small_wav2vec2
    source = {"source": small_wav2vec2, "save_path": "unused"}
    folder = str(tmp_path / "model")
    torch.manual_seed(0)
    write_folder(folder, config, model_of(config["model"], source), None)
    classifier = SERClassifier.from_hparams(
        folder, encoder_folder=place, run_opts={"device": "cpu"}
    )
    recognizer = EmotionRecognizer.from_folder(folder, place, "cpu")
    draw = np.random.default_rng(0)
    wavs = [draw.normal(scale=0.1, size=n) for n in (20000, 12000)]
    wavs = [wav.astype(np.float32) for wav in wavs]
    batch = torch.zeros(2, 20000)
    for row, wav in zip(batch, wavs):
        row[: len(wav)] = torch.from_numpy(wav)
    found = classifier.classify_batch(batch, torch.tensor([1.0, 0.6]))
    told = recognizer.label_batch(wavs, 16000)
    out_prob, score, index, words = found
    for i, outcome in enumerate(told):
        expected = torch.tensor(list(outcome.posterior.values()))
        assert torch.allclose(out_prob[i].exp(), expected, atol=1e-5)
        assert words[i] == outcome.label
        assert (
            score[i] == out_prob[i].max() and index[i] == out_prob[i].argmax()
        )
    embedded = classifier.encode_batch(batch, torch.tensor([1.0, 0.6]))
    assert torch.allclose(embedded[1], told[1].embedding, atol=1e-4)
    path = str(tmp_path / "a.wav")
    soundfile.write(path, np.stack([wavs[0]] * 2, axis=1), 16000, "FLOAT")
    own = classifier.classify_file(path)
    assert own[0].shape == (1, 4)
    assert torch.allclose(own[0][0], out_prob[0], atol=1e-4)


def test_who_speaks_must_be_told(tmp_path, small_wav2vec2):
    """A model that standardises by speaker is refused in a sentence."""
    config = plain_config(**probe(small_wav2vec2))
    source = {"source": small_wav2vec2, "save_path": "unused"}
    folder = str(tmp_path / "model")
    write_folder(folder, config, model_of(config["model"], source), None)
    classifier = SERClassifier.from_hparams(
        folder, encoder_folder=small_wav2vec2
    )
    with pytest.raises(InputError, match="EmotionRecognizer"):
        classifier.classify_batch(torch.randn(1, 16000))


def test_an_encoder_in_the_folder(tmp_path, small_wav2vec2):
    """One that was copied is found there, from wherever it is loaded."""
    from speechbrain_ser.lobes.speech_encoder import speech_encoder

    config = plain_config(**KINDS["GMP-ATL"](small_wav2vec2))
    config["encoder"] |= {"copied": True}
    source = {"source": small_wav2vec2, "save_path": "unused"}
    model = model_of(config["model"], source)
    whole = speech_encoder(small_wav2vec2, "unused", layer=2)
    folder = str(tmp_path / "model")
    write_folder(folder, config, model, whole)
    wav = torch.randn(1, 16000)
    found = SERClassifier.from_hparams(folder).classify_batch(wav)
    told = EmotionRecognizer.from_folder(folder).label(wav[0], 16000)
    assert found[3] == [told.label]


def test_what_is_no_speech_or_no_encoder(
    tmp_path, model_folder, small_wav2vec2
):
    """The recognizer's sentences, before anything is fetched."""
    classifier = SERClassifier.from_hparams(model_folder)
    with pytest.raises(InputError, match="is missing"):
        classifier.classify_file(str(tmp_path / "no.wav"))
    with pytest.raises(InputError, match="leave --encoder_folder out"):
        SERClassifier.from_hparams(model_folder, encoder_folder=small_wav2vec2)
