"""The references: a plain classifier of fixed features, fitted in closed form.

What a method has to beat. `probe`: the mean over time of a layer of a frozen
encoder, standardised, and logistic regression. `egemaps_svm`: openSMILE's
functionals, standardised, and linear support vector machines.

There is no epoch to choose, so the validating speakers train too; layer and C
are chosen on the speakers that train, group by group. The one epoch that a run
reports is the fit.
"""

import time

import numpy as np
import torch
import torch.nn.functional as F

from speechbrain.utils.logger import get_logger
from speechbrain_ser.brain import SERBrain
from speechbrain_ser.data.cached_features import cached_features
from speechbrain_ser.data.dataset import entries, make_dataset
from speechbrain_ser.data.parts import trained_on
from speechbrain_ser.data.standardised_reader import WAYS, StandardisedReader
from speechbrain_ser.lobes.features import Standardisation
from speechbrain_ser.lobes.linear_probe import LinearProbe
from speechbrain_ser.methods.probe_choice import (
    CLASSIFIERS,
    check_speakers,
    choose,
    speaker_groups,
    statistics,
)
from speechbrain_ser.methods.probe_temperature import held_out_temperature
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import (
    NOTHING,
    ListOf,
    Number,
    OneOf,
    Setting,
    Switch,
    Whole,
    Word,
    checked,
)

logger = get_logger(__name__)

TRAINED_ON = ("train", "valid")
EXAMPLE = "3, or '[2, 3]' for both together, or null to have one chosen"


class Layer(Setting):
    """A layer, a list of layers that are read together, or null.

    Example
    -------
    >>> Layer().mend(3), Layer().mend([2, 3]), Layer().mend(None)
    (None, None, None)
    >>> Layer().mend("all")
    "give 3, or '[2, 3]' for both together, or null to have one chosen"
    """

    def mend(self, value):
        """Returns an example, if it is none of them."""
        values = value if isinstance(value, (list, tuple)) else [value]
        fit = value is None or (
            len(values) > 0
            and all(type(item) is int for item in values)
            and len(set(values)) == len(values)
        )
        return None if fit else f"give {EXAMPLE}"


class ProbeBrain(SERBrain):
    """Fits a linear classifier of fixed features of whole utterances.

    After the fit it is a module like others, `LinearProbe`; what it chose is in
    the checkpoint.

    Arguments
    ---------
    features : LayerStatistics or Functionals
        What is computed of each utterance, once.
    cache_folder : str
        Where it is kept; runs can share it.
    classifier : str
        ``logistic``, or ``svm`` between each two classes.
    penalties : list of float
        scikit-learn's C; of several one is chosen.
    layer : int, list of int or None
        The row of the features that is read, -1 the last; several together;
        None: one is chosen.
    deviations : bool
        Whether the deviations of a layer are read beside the means.
    groups : int
        Of the speakers that train: each is held out once to choose by.
    standardise_by : str
        ``train``: over all that trains. ``speaker``: each speaker by all that
        he says, the tested ones too, which is transductive. ``enrolment``: who
        trains by all that he says, others by the part ``enrolment``. After that
        over all that trains.
    **kwargs : dict
        Of `SERBrain`, but for `modules` and `model_selection`.
    """

    seedless = True  # nothing is drawn

    @checked
    def __init__(
        self,
        labels,
        features,
        cache_folder: Word(needed="for the features", counts=NOTHING),
        classifier: OneOf(*CLASSIFIERS),
        penalties: ListOf(Number(above=0), 1, "'[0.01, 0.1, 1.0]'"),
        layer: Layer() = None,
        deviations: Switch() = False,
        groups: Whole(2) = 5,
        standardise_by: OneOf(*WAYS) = "train",
        checkpointer=None,
        **kwargs,
    ):
        self.kind = CLASSIFIERS[classifier]
        self.candidates = rows_to_try(layer, features.n_rows)
        whole = deviations or features.n_rows == 1
        self.channels = features.dim if whole else features.dim // 2
        probe = LinearProbe(
            features.n_rows,
            self.channels,
            len(labels),
            len(self.candidates[0]),
            self.kind.pairwise,
        )
        # whatever the batches, it is fitted on all utterances at once
        super().__init__(
            labels=labels,
            modules={"probe": probe},
            model_selection="last",
            checkpointer=checkpointer,
            **{"batch_size": 1} | kwargs,
        )
        if checkpointer is not None:
            checkpointer.add_recoverable("probe", probe)
        self.features = features
        self.cache_folder = cache_folder
        self.penalties = penalties
        self.groups = groups
        by_speaker = Standardisation(features.n_rows * self.channels)
        self.reader = StandardisedReader(by_speaker, by=standardise_by)

    # The parts

    @classmethod
    def needs(cls, settings):
        """Needs no part besides train and test."""
        return {}

    @classmethod
    def check_parts(cls, parts, settings):
        """Refuses to choose without speakers; see `Parts.check_parts`."""
        if settings.get("layer") is None or len(settings["penalties"]) > 1:
            check_speakers(
                [entry.get("speaker") for entry in trained_on(parts).values()],
                "give one --layer and one value of --penalties",
            )

    def set_parts(self, parts):
        """Computes the features, or reads what was kept; makes the datasets."""
        held = cached_features(
            self.cache_folder,
            self.features,
            parts.values(),
            self.sample_rate,
            self.device,
            "features of utterances",
        )
        for place, rows in held.items():
            rows = rows[:, : self.channels]
            self.reader.held[place] = rows.reshape(1, -1)
        if self.reader.by != "train":
            self.reader.fit(parts)
        super().set_parts(parts)

    def reads_waveforms(self):
        """Whether batches hold waveforms: they hold features."""
        return False

    def make_dataset(self, annotation):
        """Makes a dataset of vectors ``[rows * channels]``."""
        return make_dataset(
            annotation, self.labels, self.sample_rate, self.vector
        )

    def vector(self, entry):
        """Reads an utterance, all its rows side by side.

        They are standardised by its speaker, or not yet at all.
        """
        return self.reader(entry)[0]

    # The fit

    def fit(self, epoch_counter, train_set, valid_set=None, **kwargs):
        """Chooses and fits, unless a checkpoint says that it was done.

        Arguments
        ---------
        epoch_counter : iterable
            Not used: there is one epoch.
        train_set, valid_set : DynamicItemDataset
            Both are fitted on.
        **kwargs : dict
            SpeechBrain's, not used.
        """
        self.epochs = 1
        if self.test_only:
            self.check_finished()
        if self.checkpointer is not None:
            self.checkpointer.recover_if_possible()
        if self.history.rows:
            logger.info("it was fitted before")
            return
        self.stage, self.epoch = "training", 1
        started = time.time()
        held = entries(train_set) + (entries(valid_set) if valid_set else [])
        row = self.fit_on(held)
        seconds = round(time.time() - started, 3)
        self.train_row, self.valid_row = row | {"seconds": seconds}, {}
        self.check_weights()
        self.on_epoch_end(1)
        self.stage = "evaluation"

    def fit_on(self, held):
        """Chooses rows and C, and fits them.

        Arguments
        ---------
        held : list of dict
            The entries that train.

        Returns
        -------
        dict
            What the epoch's row says.
        """
        vectors = torch.stack([self.vector(entry) for entry in held])
        vectors = vectors.double().unflatten(1, (-1, self.channels)).numpy()
        index = {word: i for i, word in enumerate(self.labels)}
        labels = np.array([index[entry["emotion"]] for entry in held])
        weight = None if self.weighting == "none" else self.weighting
        tried = {
            rows: vectors[:, list(rows)].reshape(len(labels), -1)
            for rows in self.candidates
        }
        rows, penalty = self.candidates[0], self.penalties[0]
        judged = {}
        if len(tried) * len(self.penalties) > 1:
            groups = speaker_groups([e["speaker"] for e in held], self.groups)
            rows, penalty, judged = choose(
                tried, labels, groups, self.penalties, self.kind, weight
            )
        mean, std = statistics(tried[rows])
        model = self.kind.fit(
            (tried[rows] - mean) / std, labels, penalty, weight
        )
        fitted = [mean, std, *self.kind.linear(model)]
        fitted = [torch.tensor(array).float() for array in fitted]
        self.modules.probe.set(rows, *fitted, penalty)
        self.note(rows, penalty, judged)
        self.history.notes["calibration"] = held_out_temperature(
            tried[rows],
            labels,
            [entry.get("speaker") for entry in held],
            self.groups,
            lambda *own: self.kind.linear(self.kind.fit(*own, penalty, weight)),
            len(self.labels),
            self.kind.pairwise,
        )
        worth = {}
        if judged:
            name = f"held_out_{self.kind.judged_by}"
            worth = {name: judged[rows][penalty]}
        loss = self.loss_on(vectors, labels)
        return {"train_loss": loss, "layer": rows[0], "C": penalty} | worth

    @torch.no_grad()
    def loss_on(self, vectors, labels):
        """Returns the cross entropy of what was fitted on, for the log."""
        vectors = torch.tensor(vectors).float().flatten(1).to(self.device)
        logits = self.modules.probe(vectors).cpu()
        return float(F.cross_entropy(logits, torch.tensor(labels)))

    def note(self, rows, penalty, judged):
        """Keeps what was chosen, and among what, for the report."""
        self.history.notes["chosen"] = {
            "layers": list(rows),
            "C": penalty,
            "trained_on": [p for p in TRAINED_ON if p in self.datasets],
            "judged_by": self.kind.judged_by,
            "judged": [
                {"layers": list(name), "C": c, "worth": round(worth, 6)}
                for name, own in judged.items()
                for c, worth in own.items()
            ],
        }

    # Prediction

    def compute_forward(self, batch, stage):
        """Classifies; the embedding is what the linear layer sees."""
        vectors, _ = batch.sig
        probe = self.modules.probe
        embeddings = probe.embed(vectors.to(self.device))
        return {
            "logits": probe.classify(embeddings),
            "embeddings": embeddings,
        }

    def compute_objectives(self, predictions, batch, stage):
        """Returns the cross entropy, which nothing is trained by."""
        labels = batch.label.to(self.device)
        return self.cross_entropy(predictions["logits"], labels)


def rows_to_try(layer, n_rows):
    """Returns the rows that are read together, for each try.

    Arguments
    ---------
    layer : int, list of int or None
    n_rows : int

    Returns
    -------
    list of tuple of int

    Raises
    ------
    InputError
        If there is no such row.

    Example
    -------
    >>> rows_to_try(None, 3), rows_to_try(-1, 3), rows_to_try([0, 1], 3)
    ([(0,), (1,), (2,)], [(2,)], [(0, 1)])
    """
    if layer is None:
        return [(row,) for row in range(n_rows)]
    layers = layer if isinstance(layer, (list, tuple)) else [layer]
    for row in layers:
        if not -n_rows <= row < n_rows:
            raise InputError(
                f"--layer is {layer}, and the features have layers 0 to "
                f"{n_rows - 1}: give one of them, or null"
            )
    return [tuple(row % n_rows for row in layers)]
