"""What GMP-ATL finds: clusters, masked prediction, pseudo-labels over time."""

import csv
import glob
import os
import shutil

import numpy as np

from speechbrain_ser.data.dataset import entries
from speechbrain_ser.data.pseudo_labels import PseudoLabels
from speechbrain_ser.evaluation.cluster_information import (
    cluster_information,
    cluster_sizes,
)
from speechbrain_ser.evaluation.report import Report
from speechbrain_ser.figures.clusters import plot_clusters
from speechbrain_ser.figures.curves import plot_curves
from speechbrain_ser.figures.masked_prediction import plot_masked_accuracy
from speechbrain_ser.figures.pseudo_labels import plot_labels_over_time
from speechbrain_ser.figures.style import class_name
from speechbrain_ser.methods.gmp_atl_checks import labelled
from speechbrain_ser.utils.audio import load_audio
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import replacing
from speechbrain_ser.utils.settings import REPORT, Setting, checked, words_of

DESCRIBED = 20000  # utterances at most that clusters are described by
DRAWN = 4.0  # seconds, about, of an utterance that is drawn
FIGURES = "figures"


class GMPATLReport(Report):
    """The report of `methods.gmp_atl.FineTuningBrain`.

    Arguments
    ---------
    brain : FineTuningBrain
    output_folder : str
    stages : dict or None
        Name to folder and facts of the earlier stages that were made.
    figure_utterances : list of str, str or None
        Whose pseudo-labels are drawn: utterances, or their pieces where long
        ones are split; None: one a class.
    **kwargs : dict
        Of `Report`.
    """

    @checked
    def __init__(
        self,
        brain,
        output_folder,
        stages=None,
        figure_utterances: Setting(REPORT) = None,
        **kwargs,
    ):
        super().__init__(brain, output_folder, **kwargs)
        self.stages = stages or {}
        self.figure_utterances = words_of(figure_utterances)

    def findings(self):
        """Says what the earlier stages gave."""
        return {"stages": self.stages} if self.stages else {}

    def draw_figures(self, predictions, title):
        """Draws curves, embeddings, pseudo-labels; copies the stages' own."""
        losses = {"train_loss": "train", "valid_loss": "valid"}
        plot_curves(
            self.figure("curves"),
            self.brain.history.rows,
            [
                ("loss", losses),
                ("valid", {"valid_WA": "WA", "valid_UA": "UA"}),
            ],
            title,
        )
        self.draw_embedding(predictions, title=title)
        for stage in self.stages.values():
            for path in glob.glob(os.path.join(stage["folder"], FIGURES, "*")):
                name, _ = os.path.splitext(os.path.basename(path))
                with replacing(self.figure(name)) as beside:
                    shutil.copyfile(path, beside)
        if self.brain.stages:
            self.draw_labels(PseudoLabels(self.brain.stages["labels"]))

    def draw_labels(self, labels):
        """Draws pseudo-labels over time.

        Arguments
        ---------
        labels : PseudoLabels
        """
        parts = {
            part: dict(zip(dataset.data_ids, entries(dataset)))
            for part, dataset in self.brain.datasets.items()
        }
        held = labelled(parts)
        drawn = self.figure_utterances or one_a_class(
            parts["train"], self.labels
        )
        rate = self.brain.sample_rate
        for key in drawn:
            word = class_name(held[key]["emotion"])
            plot_labels_over_time(
                self.figure(f"labels_{key}"),
                load_audio(held[key], rate).numpy(),
                rate,
                labels.read(key).numpy(),
                labels.sizes,
                f"pseudo-labels of {key} ({word})",
            )


def one_a_class(annotation, labels):
    """Returns for each class the utterance that is nearest to `DRAWN` long.

    Arguments
    ---------
    annotation : dict
    labels : list of str
        Each with an utterance.

    Returns
    -------
    list of str

    Example
    -------
    >>> one_a_class(
    ...     {
    ...         "a": {"emotion": "sad", "duration": 3.0},
    ...         "b": {"emotion": "sad", "duration": 4.5},
    ...     },
    ...     ["sad"],
    ... )
    ['b']
    """
    return [
        min(
            (key for key, entry in annotation.items() if is_of(entry, word)),
            key=lambda key: (abs(annotation[key]["duration"] - DRAWN), key),
        )
        for word in labels
    ]


def is_of(entry, word):
    """Whether an utterance is of a class."""
    return entry["emotion"] == word


def check_figure_utterances(arguments, parts):
    """Refuses to draw the pseudo-labels of what has none.

    Arguments
    ---------
    arguments : dict
        Of the report.
    parts : dict
        Part to annotation, as they are trained on.

    Raises
    ------
    InputError
    """
    for name in words_of(arguments.get("figure_utterances")):
        if name not in labelled(parts):
            raise InputError(
                f"--figure_utterances {name}: it has no pseudo-labels, give "
                "utterances of the train or valid part"
            )


# What the stages found


def describe_labels(maker, folder, parts, stages):
    """Says what clusters tell of emotion and gender, and draws it.

    Arguments
    ---------
    maker : callable
        Of `Labelling`.
    folder : str
        Of the pseudo-labels.
    parts : dict
        ``train`` and ``valid``.
    stages : dict
        Name to folder of the stages before.

    Returns
    -------
    dict
    """
    labels = PseudoLabels(folder)
    information, sizes = information_of(labels, parts["train"])
    plot_clusters(
        os.path.join(folder, FIGURES, "clusters.png"),
        sizes,
        information,
        f"pseudo-labels of layer {maker.keywords['layer']}, train part",
    )
    return {
        "information": information,
        "most_frequent": most_frequent(labels, parts["train"]),
        "empty": {
            size: int((counts == 0).sum()) for size, counts in sizes.items()
        },
    }


def information_of(labels, annotation):
    """Says how much the clusters tell of emotion and gender.

    Arguments
    ---------
    labels : PseudoLabels
    annotation : dict
        The train part; of a very large one every so many utterances.

    Returns
    -------
    information : dict
        ``emotion``, and ``gender`` if known, to scale to
        `cluster_information`.
    sizes : dict
        Scale to the number of frames of each cluster.
    """
    keys = list(annotation)[:: len(annotation) // DESCRIBED + 1]
    held = [labels.read(key).numpy().astype(np.uint16) for key in keys]
    utterances = np.repeat(np.arange(len(held)), [len(x) for x in held])
    held = np.concatenate(held)
    information, sizes = {}, {}
    for name in ("emotion", "gender"):
        words = [annotation[key].get(name) for key in keys]
        if len(set(words) - {None}) > 1:
            information[name] = {
                size: cluster_information(held[:, i], utterances, words)
                for i, size in enumerate(labels.sizes)
            }
    for i, size in enumerate(labels.sizes):
        sizes[size] = cluster_sizes(held[:, i], size)
    return information, sizes


def describe_retraining(maker, folder, parts, stages):
    """Says what always the most frequent label would reach; draws the curves.

    Train and valid are drawn as they are evaluated after an epoch: without
    dropout, with the same masks, the train part by a sample.

    Arguments
    ---------
    maker : callable
        Of `RetrainingBrain`.
    folder : str
        Of the stage.
    parts : dict
        ``train`` and ``valid``; the latter judges, if there is one.
    stages : dict
        Name to folder of the stages before.

    Returns
    -------
    dict
    """
    labels = PseudoLabels(stages["labels"])
    frequent = {
        part: most_frequent(labels, parts[part])
        for part in ("train", "valid")
        if parts.get(part)
    }
    plot_masked_accuracy(
        os.path.join(folder, FIGURES, "masked_prediction.png"),
        read_curves(os.path.join(folder, "curves.csv")),
        labels.sizes,
        frequent,
        "retraining with pseudo-labels",
    )
    return {
        "most_frequent": frequent.get("valid", frequent["train"]),
        "train_most_frequent": frequent["train"],
    }


def read_curves(path):
    """Reads the rows of ``curves.csv`` as numbers."""
    with open(path, encoding="utf-8", newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def most_frequent(labels, ids):
    """Returns the share of the most frequent pseudo-label of each scale.

    Arguments
    ---------
    labels : PseudoLabels
    ids : iterable of str
        The utterances.

    Returns
    -------
    dict
        Scale to share.
    """
    counts = {size: np.zeros(size, dtype=np.int64) for size in labels.sizes}
    for key in ids:
        held = labels.read(key).numpy()
        for i, size in enumerate(labels.sizes):
            counts[size] += np.bincount(held[:, i], minlength=size)
    return {
        size: float(count.max() / count.sum()) for size, count in counts.items()
    }


# On the screen


def tell(facts):
    """Prints what a user wants to know of a stage.

    Arguments
    ---------
    facts : dict
        Of any of them.
    """
    for kind, scales in facts.get("information", {}).items():
        shares = ", ".join(
            f"{size}: {held['nmi']:.3f} (chance {held['chance']:.3f})"
            for size, held in scales.items()
        )
        print(
            f"  normalised mutual information with the {kind}, by clusters: "
            f"{shares}"
        )
    frequent = facts.get("most_frequent", {}) if "epoch" in facts else {}
    for size, share in frequent.items():
        part = "valid" if f"valid_masked_accuracy_{size}" in facts else "train"
        accuracy = facts[f"{part}_masked_accuracy_{size}"]
        print(
            f"  {size} clusters: {100 * accuracy:.1f} % of the masked frames "
            f"predicted, most frequent label {100 * share:.1f} %"
        )
    if "valid_UA" in facts:
        print(
            f"  epoch {facts['epoch']}, valid: UA of the emotion "
            f"{100 * facts['valid_UA']:.1f} %"
        )


# Stage to what draws it and returns its facts.
DESCRIPTIONS = {"labels": describe_labels, "retrained": describe_retraining}


def about(settings):
    """Says which system it is, on which fold."""
    system = "{loss} without pseudo-labels"
    if settings["pseudo_labels"] == "on":
        system = "{loss} with pseudo-labels of layer {layer}"
    return {"system": system.format(**settings), "fold": settings["fold"]}
