"""MEnAN's models on CMU-MOSEI: how often each names an emotion that is there.

Reference: "Speaker-Invariant Affective Representation Learning via Adversarial
Training", Li et al. 2020, section 6 and Table 3.
"""

import os

import torch
from tqdm import tqdm

from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.utils.distributed import if_main_process
from speechbrain_ser.data.dataset import make_dataset, without_labels
from speechbrain_ser.data.frame_cache import FrameCache
from speechbrain_ser.figures.bars import plot_bars
from speechbrain_ser.figures.style import class_name
from speechbrain_ser.lobes.features import repeated_or_middle
from speechbrain_ser.utils.files import write_csv, write_json
from speechbrain_ser.utils.settings import (
    NOTHING,
    Labels,
    Number,
    Whole,
    Word,
    checked,
)

# Settings that are those of the models.
SIZES = (
    "labels",
    "duration",
    "sample_rate",
    "n_mels",
    "win_length",
    "hop_length",
    "top_db",
    "channels",
    "kernel_sizes",
    "stride",
    "hidden_sizes",
)
MODULES = ("standardisation", "encoder", "classifier")  # of each model
SUMMARY = ("mean", "min", "max")  # over the models


class FoldsReport:
    """The report of several models, one a fold, on segments of one corpus.

    A segment may show several emotions, ``present`` in its entry; whoever names
    one of them is right.

    Arguments
    ---------
    output_folder : str
        Where the files go.
    device : str
    labels : list of str
        The class words, in the order of the logits.
    features : LogMelPitchEnergy
    modules : dict
        Name to what makes the module, in the order in which they follow each
        other, `MODULES`.
    duration : float
        Of what the models see, in seconds, see
        `lobes.features.repeated_or_middle`.
    sample_rate : int
        In Hz.
    cache_folder : str
        Where features are kept.
    eval_batch_size : int
    """

    @checked
    def __init__(
        self,
        output_folder,
        device,
        labels: Labels(),
        features,
        modules,
        duration: Number(0.3),
        sample_rate: Whole(1),
        cache_folder: Word(needed="for the features", counts=NOTHING),
        eval_batch_size: Whole(1, counts=NOTHING) = 64,
    ):
        self.output_folder = output_folder
        self.device = device
        self.labels = labels
        self.features = features
        self.modules = modules
        self.n_frames = int(features.count_frames(duration * sample_rate))
        self.sample_rate = sample_rate
        self.cache_folder = cache_folder
        self.eval_batch_size = eval_batch_size

    def build(self):
        """Builds the modules of one model, name to `torch.nn.Module`."""
        return {name: make() for name, make in self.modules.items()}

    def write(self, models, annotation, facts, title):
        """Names the emotion of each segment, writes what there is to say.

        Arguments
        ---------
        models : list of dict
            ``fold``, ``epoch`` and ``modules``, of `build` and loaded.
        annotation : dict
            Id to entry.
        facts : dict
            What ``metrics.json`` says besides.
        title : str
            Of figure and table.
        """
        predictions = self.predict([m["modules"] for m in models], annotation)
        if not if_main_process():
            return
        self.write_predictions(models, predictions, annotation)
        found = [
            {
                "fold": model["fold"],
                "epoch": model["epoch"],
                "accuracy": share_right(named, annotation),
                "named": {
                    word: list(named.values()).count(word)
                    for word in self.labels
                },
            }
            for model, named in zip(models, predictions)
        ]
        always = {
            word: share_right(dict.fromkeys(annotation, word), annotation)
            for word in self.labels
        }
        shares = [model["accuracy"] for model in found]
        summary = {
            "n": len(annotation),
            "mean": sum(shares) / len(shares),
            "min": min(shares),
            "max": max(shares),
            "always": max(always.values()),
        }
        self.draw(facts["system"], shares, always, title)
        facts = facts | {
            "device": str(self.device),
            "models": found,
            "always_named": always,
            "metrics": {"test": summary},
        }
        write_json(os.path.join(self.output_folder, "metrics.json"), facts)
        self.print_all(found, always, summary, title)

    @torch.no_grad()
    def predict(self, models, annotation):
        """Names the emotion of each segment, with each model.

        Arguments
        ---------
        models : list of dict
            Of `build`.
        annotation : dict

        Returns
        -------
        list of dict
            For each model: id -> word.
        """
        models = [
            torch.nn.Sequential(*modules.values()).to(self.device).eval()
            for modules in models
        ]
        cache = FrameCache(
            self.cache_folder, self.features, self.sample_rate, half=False
        )
        cache.fill(annotation, self.features, self.device)
        dataset = make_dataset(
            without_labels(annotation),
            self.labels,
            read=lambda e: repeated_or_middle(cache.read(e), self.n_frames),
        )
        loader = make_dataloader(dataset, batch_size=self.eval_batch_size)
        predictions = [{} for _ in models]
        quiet = not if_main_process()
        for batch in tqdm(loader, "naming emotions", disable=quiet):
            frames = batch.sig.data.to(self.device)
            for model, named in zip(models, predictions):
                guesses = model(frames).argmax(dim=1).tolist()
                for key, guess in zip(batch.id, guesses):
                    named[key] = self.labels[guess]
        return predictions

    def write_predictions(self, models, predictions, annotation):
        """Writes ``predictions.csv``: what is right, what each model says."""
        rows = [
            {"id": key, "present": " ".join(entry["present"])}
            | {
                f"fold{model['fold']}": named[key]
                for model, named in zip(models, predictions)
            }
            for key, entry in annotation.items()
        ]
        write_csv(os.path.join(self.output_folder, "predictions.csv"), rows)

    def draw(self, system, shares, always, title):
        """Draws each model's accuracy, the mean, and always the same word."""
        mean = sum(shares) / len(shares)
        alone = len(shares) < 2
        plot_bars(
            os.path.join(self.output_folder, "figures", "accuracy.png"),
            [
                bar(system, mean, [] if alone else shares),
                *(
                    bar(f"always {class_name(word)}", share)
                    for word, share in always.items()
                ),
            ],
            "accuracy (%)",
            title,
            "fold's model",
            100,
        )

    def print_all(self, models, always, summary, title):
        """Prints Table 3's row, and what it is made of."""
        plural = "s" if len(models) > 1 else ""
        print(
            f"\n{title}: {summary['n']} segments, {len(models)} model{plural}"
        )
        for model in models:
            print(
                f"fold {model['fold']:2d}  epoch {model['epoch']:3d}  accuracy "
                f"{100 * model['accuracy']:.2f} %"
            )
        shown = [f"{name} {100 * summary[name]:.2f}" for name in SUMMARY]
        print(f"accuracy (%): {', '.join(shown)}")
        best = max(always, key=always.get)
        print(f"whoever always says {best!r}: {100 * always[best]:.2f} %")
        print(f"report: {self.output_folder}")


def share_right(named, annotation):
    """Returns how many segments are named rightly, 0 to 1.

    Arguments
    ---------
    named : dict
        Id -> word.
    annotation : dict
        Id -> entry with `present`.

    Returns
    -------
    float

    Example
    -------
    >>> present = {"a": {"present": ["ang", "sad"]}, "b": {"present": ["neu"]}}
    >>> share_right({"a": "sad", "b": "hap"}, present)
    0.5
    """
    right = sum(named[key] in e["present"] for key, e in annotation.items())
    return right / len(annotation)


def bar(name, mean, values=()):
    """Returns a bar of the figure, in percent."""
    return {
        "name": name,
        "mean": 100 * mean,
        "interval": None,
        "values": [100 * value for value in values],
        "paper": None,
        "text": f"{100 * mean:.1f}",
    }
