"""SpeechBrain's way to use a trained model: ``from_hparams`` of a folder."""

import os

import torch

from speechbrain.inference.interfaces import Pretrained
from speechbrain_ser.inference.encoder_place import place_of
from speechbrain_ser.inference.folder import read_config
from speechbrain_ser.inference.recognizer import signal_of, with_temperature
from speechbrain_ser.inference.tensors import load_tensors
from speechbrain_ser.utils.errors import InputError


def load_model(model, path, labels):
    """Loads safetensors, a hook of SpeechBrain's ``Pretrainer``.

    Arguments
    ---------
    model : EmotionModel
    path : str
    labels : list of str
        The classes, in the order of the posteriors.
    """
    load_tensors(str(path), model, list(labels))


class SERClassifier(Pretrained):
    """A model folder as SpeechBrain's users know it.

    ``from_hparams`` loads the folder's YAML, which runs code: load folders of
    those whom you trust, or take `EmotionRecognizer.from_folder`.

    Arguments
    ---------
    *args, **kwargs
        See ``Pretrained``.

    Example
    -------
    >>> folder = getfixture("model_folder")
    >>> classifier = SERClassifier.from_hparams(folder)
    >>> out_prob, score, index, text_lab = classifier.classify_batch(
    ...     torch.randn(2, 16000), torch.tensor([1.0, 0.5])
    ... )
    >>> out_prob.shape, len(text_lab)
    (torch.Size([2, 4]), 2)
    """

    HPARAMS_NEEDED = ["labels", "sample_rate"]
    MODULES_NEEDED = ["model"]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.audio_normalizer.sample_rate = self.hparams.sample_rate

    @classmethod
    def from_hparams(
        cls, source, encoder_folder=None, overrides=None, **kwargs
    ):
        """Loads a model folder.

        Arguments
        ---------
        source : str
            The folder, or the hub name of one.
        encoder_folder : str, optional
            Where a copy of its pre-trained encoder lies.
        overrides : dict, optional
            Of the YAML.
        **kwargs : dict
            Of ``Pretrained.from_hparams``.

        Returns
        -------
        SERClassifier
        """
        source = os.fspath(source)
        overrides = {"pretrained_path": source} | dict(overrides or {})
        if os.path.isdir(source):
            told = read_config(source)["encoder"]
            place = place_of(source, told, encoder_folder)
            if place is not None:
                overrides["encoder_source"] = place["source"]
        elif encoder_folder is not None:
            overrides["encoder_source"] = os.fspath(encoder_folder)
        return super().from_hparams(source, overrides=overrides, **kwargs)

    def outputs(self, wavs, wav_lens=None):
        """Computes what the model gives of a batch, a list of dict.

        Arguments
        ---------
        wavs : torch.Tensor
            ``[batch, time]`` or ``[time]``, at the model's rate.
        wav_lens : torch.Tensor, optional
            Relative lengths, ``[batch]``.
        """
        if wavs.dim() == 1:
            wavs = wavs.unsqueeze(0)
        if wav_lens is None:
            wav_lens = torch.ones(len(wavs))
        model = self.mods.model
        if model.by == "speaker":
            raise InputError(
                "this model standardises each speaker by all that he says: "
                "use EmotionRecognizer, which is told who speaks"
            )
        counts = (wav_lens.cpu() * wavs.shape[1]).round().long().clamp(min=1)
        held = [
            model.frames(wav[:count].float().cpu())
            for wav, count in zip(wavs, counts.tolist())
        ]
        return model([model.prepared(frames) for frames in held])

    def encode_batch(self, wavs, wav_lens=None):
        """Returns the embeddings of a batch, ``[batch, D]``."""
        found = self.outputs(wavs, wav_lens)
        return torch.stack([one["embedding"] for one in found]).to(self.device)

    def classify_batch(self, wavs, wav_lens=None):
        """Classifies a batch.

        Arguments
        ---------
        wavs : torch.Tensor
            ``[batch, time]`` or ``[time]``, at the model's rate.
        wav_lens : torch.Tensor, optional
            Relative lengths, ``[batch]``.

        Returns
        -------
        out_prob : torch.Tensor
            Log posteriors, ``[batch, classes]``.
        score : torch.Tensor
            The best class's, ``[batch]``.
        index : torch.Tensor
            Which class that is, ``[batch]``.
        text_lab : list of str
            Its word.
        """
        temperature = getattr(self.hparams, "temperature", None) or 1.0
        found = self.outputs(wavs, wav_lens)
        posteriors = [
            with_temperature(one["posterior"], temperature) for one in found
        ]
        out_prob = torch.stack(posteriors).to(self.device).log()
        score, index = out_prob.max(dim=-1)
        words = [self.hparams.labels[i] for i in index.tolist()]
        return out_prob, score, index, words

    def classify_file(self, path, **kwargs):
        """Classifies a file; see `classify_batch`.

        Arguments
        ---------
        path : str
            In any format, of any rate and channels; or a web address.
        **kwargs : dict
            Of ``load_audio``, for an address.

        Raises
        ------
        InputError
            If the file is no speech that can be labelled.
        """
        if "://" in str(path):
            return self.classify_batch(self.load_audio(str(path), **kwargs))
        rate = self.hparams.sample_rate
        return self.classify_batch(signal_of(str(path), None, None, rate))

    def forward(self, wavs, wav_lens=None):
        """Classifies a batch; see `classify_batch`."""
        return self.classify_batch(wavs, wav_lens)
