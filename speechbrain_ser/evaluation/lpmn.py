"""What LPMN finds: which prototypes tell the emotion, and where they are heard.

Also what LPMN's recipes on all corpora give to the frame: `check`, `files`,
`about` and `prototype_selection.selected_parts`.
"""

import os

import numpy as np
import torch

from speechbrain_ser.evaluation.prototype_selection import (
    Sizes,
    loudest_classes,
    probed,
    selected_parts,
    sets_of,
    sizes_of,
)
from speechbrain_ser.evaluation.report import Report
from speechbrain_ser.figures.curves import plot_curves
from speechbrain_ser.figures.mapping import plot_local_mapping
from speechbrain_ser.figures.selection import plot_importance, plot_selection
from speechbrain_ser.figures.style import class_name
from speechbrain_ser.lobes.codebook import usage_of
from speechbrain_ser.methods.lpmn import USE
from speechbrain_ser.utils.audio import load_audio
from speechbrain_ser.utils.audio_files import inspect_audio
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import write_csv
from speechbrain_ser.utils.settings import REPORT, Setting, checked, words_of

# Prototypes in a figure of the mapping over time.
SHOWN = 30
# Scores of a part besides the usual ones, where valence is learnt.
VALENCE_SCORES = ("valence_MSE", "combined")


def check(settings, parts):
    """Refuses what the report can't select or draw, a recipe's ``fill_in``.

    Arguments
    ---------
    settings : dict
    parts : dict or None
        Part to annotation; None before they are read.

    Returns
    -------
    dict
        Empty: nothing follows.

    Raises
    ------
    InputError
    """
    if parts is None:
        fit = Sizes().mend(settings["n_selected"]) is None
        if fit and isinstance(settings["n_prototypes"], int):
            selected_parts(settings)
    else:
        for name in words_of(settings["figure_utterances"]):
            entry_of(name, parts)
    return {}


def files(settings):
    """Names the files whose content counts: a codebook learnt before."""
    return {"codebook": settings["codebook"]}


def about(settings):
    """Says which pooling it is, and which fold."""
    return {"system": settings["pooling"], "fold": settings["fold"]}


def entry_of(name, parts):
    """Returns the entry of an utterance, or one for an audio file.

    Arguments
    ---------
    name : str
        An id of any part, or a path.
    parts : dict
        Part to annotation.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        If it is neither.
    """
    for part in parts.values():
        if name in part:
            return part[name]
    if not os.path.exists(name):
        raise InputError(
            f"--figure_utterances {name} is neither an utterance of "
            f"{', '.join(parts)} nor an audio file: give one of these"
        )
    inspect_audio(name)
    return {"wav": os.path.abspath(name)}


class LPMNReport(Report):
    """The report of `methods.lpmn.LPMNBrain`.

    Arguments
    ---------
    brain : LPMNBrain
    output_folder : str
    n_selected : list of int, str, int or None
        The numbers K' of prototypes that are selected after training, see
        `prototype_selection`; where there are no prototypes, none.
    figure_utterances : list of str, str or None
        Utterances, or audio files, whose mapping over time is drawn; none: the
        surest of each class.
    **kwargs : dict
        Of `Report`.
    """

    @checked
    def __init__(
        self,
        brain,
        output_folder,
        n_selected: Sizes() = None,
        figure_utterances: Setting(REPORT) = None,
        **kwargs,
    ):
        super().__init__(brain, output_folder, **kwargs)
        self.sizes = []
        if brain.lpmn:
            self.sizes = sizes_of(n_selected, brain.pooling.size)
        self.figure_utterances = words_of(figure_utterances)
        self.probes = {}
        self.use = {}  # part to used prototypes and perplexity

    # Selection of prototypes (section 3.3)

    def load_selected(self):
        """Loads the selected epoch; its importance selects prototypes."""
        epoch = super().load_selected()
        self.brain.kept = sets_of(
            self.brain.importance.ranking(), self.sizes, self.brain.seed
        )
        return epoch

    def predict(self, part, dataset):
        """Notes how the selected epoch's prototypes are used in the part."""
        found = super().predict(part, dataset)
        if self.brain.lpmn:
            self.use[part] = dict(zip(USE, usage_of(self.brain.counts)))
        return found

    def more_predictions(self, predictions):
        """Fits the probes on the train part; classifies the test part's."""
        found = {}
        for name in self.brain.kept:
            self.probes[name], found[name] = probed(
                name,
                predictions,
                self.labels,
                balanced=self.brain.class_weights is not None,
                valence=bool(self.brain.valence_weight),
            )
        return {f"test_{name}": p for name, p in found.items()}

    def classes_of(self, name):
        """Returns the class that each prototype speaks for most.

        Arguments
        ---------
        name : str or None
            Of a probe; None: the classifier that was trained with them.
        """
        if name is not None:
            return loudest_classes(self.probes[name])
        (weight,) = [
            p for p in self.brain.modules.classifier.parameters() if p.ndim == 2
        ]
        weight = weight.detach().float().cpu().numpy()
        return [self.labels[i] for i in weight.argmax(axis=0)]

    # Numbers

    def columns(self, prediction):
        """Adds the valence."""
        columns = super().columns(prediction)
        if self.brain.valence_weight:
            columns["valence"] = prediction["entry"].get("valence")
            columns["predicted_valence"] = round(
                float(prediction["valence"]), 6
            )
        return columns

    def score(self, predictions):
        """Adds the valence's squared error and the challenge's score."""
        score = super().score(predictions)
        if score is None or not self.brain.valence_weight:
            return score
        errors = [
            (float(p["valence"]) - p["entry"]["valence"]) ** 2
            for p in predictions.values()
            if p["entry"].get("valence") is not None
        ]
        if errors:
            error = float(np.mean(errors))
            values = (error, score["weighted_F1"] - 0.25 * error)
            score |= dict(zip(VALENCE_SCORES, values))
        return score

    def findings(self):
        """Says how prototypes are used, and what importance K' of them hold.

        ``prototype_use``: of each part, over its frames, see
        `lobes.codebook.usage_of`.
        """
        if not self.brain.lpmn:
            return {}
        share = self.brain.importance.importance.sort(descending=True).values
        share = share / share.sum().clamp(min=1e-30)
        return {
            "prototypes": len(share),
            "prototype_use": self.use,
            "importance_share": {
                str(size): float(share[:size].sum()) for size in self.sizes
            },
        }

    def print_more(self, scores):
        """Prints the valence's scores, and how the prototypes are used."""
        for part, score in scores.items():
            if "valence_MSE" in score:
                print(
                    f"{part}: valence MSE {score['valence_MSE']:.4f}, weighted "
                    f"F1 - MSE / 4 {score['combined']:.4f}"
                )
        if self.use:
            used = "; ".join(
                f"{part} {use['used_prototypes']} used, perplexity "
                f"{use['perplexity']:.1f}"
                for part, use in self.use.items()
            )
            print(f"prototypes, of {self.brain.pooling.size}: {used}")
        said = "train" in self.use and self.brain.collapse(**self.use["train"])
        if said:
            print(f"warning: {said}")

    def write_prototypes(self):
        """Writes ``prototypes.csv``: rank, importance, class and selection."""
        ranking = self.brain.importance.ranking().tolist()
        importance = self.brain.importance.importance.cpu()
        total = importance.sum().clamp(min=1e-30)
        classes = self.classes_of(None)
        rows = []
        for rank, index in enumerate(ranking, 1):
            row = {
                "rank": rank,
                "prototype": index,
                "importance": float(importance[index]),
                "share": float(importance[index] / total),
                "class": classes[index],
            }
            rows.append(row | {f"kept_{k}": int(rank <= k) for k in self.sizes})
        write_csv(os.path.join(self.output_folder, "prototypes.csv"), rows)

    # Figures

    def draw_figures(self, predictions, title):
        """Draws curves, embeddings, importance, selection, mapping over time."""
        self.draw_curves(title)
        self.draw_embedding(predictions, title=title)
        if not self.brain.lpmn:
            return
        self.write_prototypes()
        plot_importance(
            self.figure("importance"),
            self.brain.importance.importance.cpu().numpy(),
            self.sizes,
            title,
        )
        if "test_all" in self.scores:
            self.draw_selection(title)
        for name, entry in self.to_draw(predictions).items():
            self.draw_mapping(name, entry)

    def draw_curves(self, title):
        """Draws the losses, the valid part's scores, the prototypes' use."""
        losses = {
            "train_loss": "training, total",
            "quantization_loss": "quantization (Eq. 1)",
            "valid_loss": "valid",
        }
        shares = {"valid_WA": "WA", "valid_UA": "UA"}
        panels = [("loss", losses), ("valid", shares)]
        if self.brain.lpmn:
            use = {"used_prototypes": "used", "perplexity": "perplexity"}
            panels.append(("prototypes", use))
        rows = self.brain.history.rows
        plot_curves(self.figure("curves"), rows, panels, title)

    def draw_selection(self, title):
        """Draws the UA after selection, chosen by Eq. 4 and at random."""

        def percent(name):
            """UA of a probe and its interval, in per cent."""
            score = self.scores[f"test_{name}"]
            ends = score["interval"] and score["interval"]["UA"]
            return 100 * score["UA"], ends and [100 * end for end in ends]

        drawn = {
            "selected": [percent(str(size)) for size in self.sizes],
            "random": [percent(f"random_{size}") for size in self.sizes],
            "full": [percent("all")],
        }
        plot_selection(
            self.figure("selection"),
            self.sizes,
            [value for value, _ in drawn["selected"]],
            [value for value, _ in drawn["random"]],
            drawn["full"][0][0],
            "UA (%), 95 % interval",
            title,
            {key: [ends for _, ends in own] for key, own in drawn.items()},
        )

    def to_draw(self, predictions):
        """Returns the utterances whose mapping is drawn, name to entry."""
        if self.figure_utterances:
            held = {
                part: {key: p["entry"] for key, p in found.items()}
                for part, found in predictions.items()
            }
            return {
                name: entry_of(name, held) for name in self.figure_utterances
            }
        surest = {}
        for key, p in predictions["test"].items():
            word = p["entry"].get("emotion")
            if word is not None:
                sure = float(p["posterior"][self.labels.index(word)])
                if sure > surest.get(word, (-1,))[0]:
                    surest[word] = (sure, key, p["entry"])
        return {key: entry for _, key, entry in surest.values()}

    def shown(self):
        """Returns the prototypes in a figure, and the class of each."""
        kept, classes = (
            self.brain.importance.ranking()[:SHOWN],
            self.classes_of(None),
        )
        classes = [classes[i] for i in kept.tolist()]
        if self.sizes:
            smallest = str(self.sizes[-1])
            kept, classes = self.brain.kept[smallest], self.classes_of(smallest)
        return kept, classes

    @torch.no_grad()
    def draw_mapping(self, name, entry):
        """Draws where in an utterance the kept prototypes were found."""
        brain = self.brain
        wave = load_audio(entry, brain.sample_rate)
        kept, classes = self.shown()
        brain.modules.eval()
        with brain.evaluation_ctx:
            frames, lengths = brain.frames(
                wave.unsqueeze(0).to(brain.device),
                torch.ones(1, device=brain.device),
            )
            logits = brain.modules.classifier(brain.pooling(frames, lengths)[0])
        heard = self.labels[int(logits.argmax())]
        mapping = brain.pooling.over_time(frames[0], kept)
        names = [
            f"{index} · {class_name(word)}"
            for index, word in zip(kept.tolist(), classes)
        ]
        file = os.path.splitext(os.path.basename(name))[0]
        path = self.figure(f"mapping_{file}")
        if self.figure_utterances:
            print(f"{name}: {heard}, see {path}")
        plot_local_mapping(
            path,
            wave.numpy(),
            brain.sample_rate,
            mapping.float().cpu().numpy(),
            len(wave) / brain.sample_rate / len(mapping),
            mapping.argmax(dim=0).cpu().numpy(),
            names,
            f"{file}, heard as {class_name(heard)}, labelled "
            f"{class_name(entry.get('emotion') or 'not at all')}",
        )
