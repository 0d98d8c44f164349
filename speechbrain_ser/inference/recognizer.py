"""A trained model that labels anybody's speech."""

import functools
import os

import torch

from speechbrain.utils.distributed import infer_device
from speechbrain_ser.data.batching import LengthBatchSampler
from speechbrain_ser.inference.folder import load_folder
from speechbrain_ser.inference.outcome import Outcome
from speechbrain_ser.inference.signals import checked_signal
from speechbrain_ser.inference.tensors import fingerprint, speech_model_of
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.temperature import tempered

LONGEST = 60.0  # seconds that are labelled at once, unless a run says less
BATCH = 16


class EmotionRecognizer:
    """A trained model that labels anybody's speech.

    Made by `from_folder` or `from_run`.

    Arguments
    ---------
    model : EmotionModel
    labels : list of str
        The classes, in the order of the posteriors.
    sample_rate : int
        In Hz, of what the model is given.
    name : str
        By which tables call it.
    temperature : float or None
        Posteriors p become p^(1/T), normalised; None: they stay.
    max_seconds : float
        Longer speech is labelled in pieces.
    batch_size : int
        Utterances at once.
    card : dict
        What is known of the model: method, corpus, languages, ...
    about : object
        Plain: what besides its weights decides what it says.
    device : str, optional
        Default: SpeechBrain's best guess.

    Example
    -------
    >>> folder = getfixture("model_folder")
    >>> recognizer = EmotionRecognizer.from_folder(folder)
    >>> outcome = recognizer.label(torch.randn(16000).numpy(), rate=16000)
    >>> outcome.label in recognizer.labels
    True
    """

    def __init__(
        self,
        model,
        labels,
        sample_rate=16000,
        name="model",
        temperature=None,
        max_seconds=LONGEST,
        batch_size=BATCH,
        card=None,
        about=None,
        device=None,
    ):
        self.model = model.to(device or infer_device()).eval()
        self.labels = list(labels)
        self.sample_rate = sample_rate
        self.name = name
        self.temperature = 1.0 if temperature is None else temperature
        self.max_seconds = max_seconds
        self.batch_size = batch_size
        self.card = card or {}
        self.about = about
        self.by = model.by

    @classmethod
    def from_folder(cls, folder, encoder_folder=None, device=None):
        """Loads a model folder; no YAML is read, nothing is unpickled.

        Arguments
        ---------
        folder : str
            That ``ser-export`` wrote.
        encoder_folder : str, optional
            Where a copy of the pre-trained encoder lies, if it is not in the
            folder; default: by its name, in the cache of the hub or from there.
        device : str, optional

        Returns
        -------
        EmotionRecognizer

        Raises
        ------
        InputError
            If it is no model folder, or not whole.
        """
        folder = os.fspath(folder)
        config, model = load_folder(folder, encoder_folder)
        return cls(
            model,
            config["labels"],
            config["sample_rate"],
            config["name"],
            config["temperature"],
            config["max_seconds"],
            config["batch_size"],
            config.get("card"),
            config["model"],
            device,
        )

    @classmethod
    def from_run(cls, run, encoder_folder=None, device=None):
        """Loads the selected epoch of a run.

        Its hparams file is HyperPyYAML, which runs code: load no run of
        somebody that you do not trust.

        Arguments
        ---------
        run : str
            Its ``output_folder``.
        encoder_folder : str, optional
            Where the pre-trained encoder lies now.
        device : str, optional

        Returns
        -------
        EmotionRecognizer

        Raises
        ------
        InputError
            If it holds no trained run.
        """
        from speechbrain_ser.inference.from_run import trained_run
        from speechbrain_ser.inference.known import known_of

        trained = trained_run(os.fspath(run), encoder_folder, device)
        known = known_of(trained, os.fspath(run))
        plain = {
            name: value
            for name, value in trained.arguments.items()
            if name not in trained.nodes
        }
        return cls(
            trained.model,
            known["labels"],
            known["sample_rate"],
            known["name"],
            known["temperature"],
            known["max_seconds"],
            known["batch_size"],
            known["card"],
            [plain, trained.settings],
            device,
        )

    # What it is

    @functools.cached_property
    def digest(self):
        """SHA-256 of all that decides its posteriors, but the temperature."""
        about = [self.about, self.labels, self.sample_rate, self.max_seconds]
        if hasattr(self.model, "domain"):
            about.append(self.model.domain)
        return fingerprint(self.model, about)

    @property
    def own(self):
        """The names of the method's own numbers."""
        return self.model.own_columns(self.labels)

    @property
    def of_posterior(self):
        """Which of these are a class's posterior: name to the class's index."""
        return self.model.of_posterior

    @property
    def padding_matters(self):
        """Whether what an utterance is padded by changes what is said of it."""
        _, encoder = speech_model_of(self.model)
        alone = self.model.features is not None
        return not alone and getattr(encoder, "padding_matters", False)

    def standardise_by_speaker(self):
        """Lets each speaker be standardised by what he says.

        Raises
        ------
        InputError
            If the model standardises nothing.
        """
        if self.model.standardise is None:
            raise InputError(
                f"the model {self.name} standardises nothing: leave --speakers "
                "out"
            )
        self.by = "speaker"

    # Its steps, for those who plan their batches

    def batches(self, durations, batch_size=None):
        """Plans batches of like length, as a recipe's evaluation does.

        Arguments
        ---------
        durations : list of float
            In seconds.
        batch_size : int, optional

        Returns
        -------
        list of list of int
        """
        if not durations:
            return []
        sampler = LengthBatchSampler(
            durations, batch_size or self.batch_size, shuffle=False
        )
        sampler.set_epoch(float("inf"))
        return list(sampler)

    def frames(self, signal):
        """Computes what is computed of an utterance alone.

        Arguments
        ---------
        signal : torch.Tensor
            ``[samples]``, float32, at `sample_rate`.

        Returns
        -------
        torch.Tensor
        """
        return self.model.frames(signal)

    def statistics(self, held):
        """Returns a speaker's statistics of the `frames` of what he says."""
        return self.model.statistics(held)

    def classify(self, held, statistics=None):
        """Computes a batch.

        Arguments
        ---------
        held : list of torch.Tensor
            Of `frames`.
        statistics : list, optional
            Of `statistics`, one an utterance.

        Returns
        -------
        list of dict
            ``posterior`` ``[classes]`` before the temperature, ``embedding``
            ``[D]`` and the method's own, tensors.
        """
        pairs = zip(held, statistics or [None] * len(held))
        return self.model([self.model.prepared(*pair) for pair in pairs])

    def outcome(self, found, weights=None):
        """Merges the pieces of an utterance, and applies the temperature.

        Arguments
        ---------
        found : list of dict
            Of `classify`, one a piece.
        weights : list of float, optional
            The pieces' durations.

        Returns
        -------
        Outcome
        """
        share = torch.tensor(weights or [1.0] * len(found))
        share = share / share.sum()
        merged = {
            name: sum(w * piece[name] for w, piece in zip(share, found))
            for name in found[0]
        }
        merged["posterior"] = with_temperature(
            merged["posterior"], self.temperature
        )
        posterior = dict(zip(self.labels, merged["posterior"].tolist()))
        own = dict(zip(self.own, self.model.own(merged)))
        label = self.labels[int(merged["posterior"].argmax())]
        return Outcome(label, posterior, own, merged["embedding"])

    # For a few recordings

    def label(self, speech, rate=None, channel=None):
        """Labels one recording.

        Arguments
        ---------
        speech : str, path, numpy.ndarray or torch.Tensor
            A file in any format that can be decoded; or samples, ``[time]``,
            ``[time, channels]`` or ``[channels, time]``, whichever axis is the
            longer one being time.
        rate : int, optional
            In Hz, of samples.
        channel : int, optional
            From 1; default: the mean of all channels.

        Returns
        -------
        Outcome

        Raises
        ------
        InputError
            If it is no speech that can be labelled.
        """
        return self.label_batch([speech], rate, channel)[0]

    def label_batch(self, speech, rate=None, channel=None):
        """Labels recordings, in batches of like length.

        Arguments
        ---------
        speech : list
            See `label`.
        rate : int or list of int, optional
            In Hz, of samples; a list has one each.
        channel : int, optional

        Returns
        -------
        list of Outcome
            In the order given. A model that standardises by speaker takes all
            that is given for one's.
        """
        speech = list(speech)
        several = isinstance(rate, (list, tuple))
        rates = rate if several else [rate] * len(speech)
        signals = [
            signal_of(one, own, channel, self.sample_rate)
            for one, own in zip(speech, rates, strict=True)
        ]
        longest = round(self.max_seconds * self.sample_rate)
        pieces = [
            (i, piece)
            for i, signal in enumerate(signals)
            for piece in cut(signal, longest)
        ]
        held = [self.frames(piece) for _, piece in pieces]
        own = None
        if self.by == "speaker":
            own = [self.statistics(held)] * len(held)
        found = [None] * len(held)
        seconds = [len(piece) / self.sample_rate for _, piece in pieces]
        for batch in self.batches(seconds):
            chosen = own and [own[i] for i in batch]
            results = self.classify([held[i] for i in batch], chosen)
            for i, result in zip(batch, results):
                found[i] = result
        parts = [[] for _ in speech]
        for (place, _), *result in zip(pieces, found, seconds):
            parts[place].append(result)
        return [self.outcome(*map(list, zip(*own))) for own in parts]

    def embed(self, speech, rate=None, channel=None):
        """Returns the embedding of one recording, ``[D]``; see `label`."""
        return self.label(speech, rate, channel).embedding


def signal_of(speech, rate, channel, sample_rate):
    """Returns samples ``[time]`` at a rate; see `EmotionRecognizer.label`."""
    if isinstance(speech, (str, os.PathLike)):
        from speechbrain_ser.inference.speech import Speech

        path = os.path.abspath(os.fspath(speech))
        return Speech(path, channel=channel).read(sample_rate)
    return checked_signal(speech, rate, sample_rate, channel)


def cut(signal, longest):
    """Cuts a signal into equal pieces of at most so many samples."""
    count = max(-(-len(signal) // longest), 1)
    edges = [round(i * len(signal) / count) for i in range(count + 1)]
    return [signal[a:b] for a, b in zip(edges, edges[1:])]


def with_temperature(posterior, temperature):
    """Applies a temperature to posteriors, see `utils.temperature.tempered`.

    Arguments
    ---------
    posterior : torch.Tensor
        ``[classes]``, sums to 1.
    temperature : float
        1 changes no bit.

    Returns
    -------
    torch.Tensor
        ``[classes]``, float32.

    Example
    -------
    >>> with_temperature(torch.tensor([0.8, 0.2]), 2.0)
    tensor([0.6667, 0.3333])
    """
    if temperature == 1:
        return posterior
    return torch.from_numpy(tempered(posterior.numpy(), temperature)).float()
