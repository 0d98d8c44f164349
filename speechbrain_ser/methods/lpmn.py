"""The Brain of LPMN, which its recipes on all corpora share.

Reference: "An Effective Local Prototypical Mapping Network for Speech Emotion
Recognition", Xi et al. 2024.
"""

import os
import pickle

import numpy as np
import speechbrain as sb
import torch
from speechbrain.dataio.dataset import FilteredSortedDynamicItemDataset

from speechbrain_ser.brain import SERBrain
from speechbrain_ser.evaluation.probing import probe, regression_probe
from speechbrain_ser.experiment.recipe import words_of
from speechbrain_ser.figures import mapping as mapping_plots
from speechbrain_ser.figures import plots
from speechbrain_ser.lobes.local_prototypes import LocalPrototypicalMapping
from speechbrain_ser.methods.lpmn_settings import entry_of, sizes_of
from speechbrain_ser.utils.audio import load_audio
from speechbrain_ser.utils.distributed import mean_over_processes, world_size
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import write_csv

# Frames that are looked at for each prototype that is drawn.
FRAMES_PER_PROTOTYPE = 4
# What torch.load and a look at the result raise if a file is something else.
UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    pickle.UnpicklingError,
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
)
# Prototypes in a figure of the mapping over time.
SHOWN = 30


def load_codebook(codebook, path):
    """Loads prototypes that ``train_codebook.py`` learnt.

    Arguments
    ---------
    codebook : Codebook
    path : str

    Raises
    ------
    InputError
        If there is no such file, or it holds other sizes.
    """
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
        prototypes = held["prototypes"]
        count, dim = prototypes.shape
    except UNREADABLE as failure:
        raise InputError(
            f"the codebook {path} can't be read: give the codebook.ckpt that "
            "train_codebook.py wrote"
        ) from failure
    if prototypes.shape != codebook.prototypes.shape:
        raise InputError(
            f"the codebook {path} holds {count} prototypes of size {dim}, this "
            f"run has {len(codebook.prototypes)} of {codebook.prototypes.shape[1]}: set "
            "--n_prototypes, or learn a codebook for this encoder"
        )
    with torch.no_grad():
        codebook.prototypes.copy_(prototypes)


class CodebookBrain(SERBrain):
    """Learns a codebook by the quantization loss alone (Eq. 1).

    Arguments
    ---------
    codebook : Codebook or None
        None: there is none (the baselines of LPMN).
    codebook_file : str or None
        A codebook that was learnt before, see ``train_codebook.py``; None: the
        prototypes begin as frames drawn from the training part.
    reseed_dead : bool
        Whether prototypes that were no frame's nearest in an epoch are drawn
        anew.
    augmenter : Augmenter or None
        SpeechBrain's, for the training's waveforms.
    **kwargs : dict
        Of `SERBrain`; the modules are ``encoder``, ``norm`` and ``codebook``.
    """

    def __init__(
        self,
        codebook,
        codebook_file=None,
        reseed_dead=False,
        augmenter=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.codebook = codebook
        self.codebook_file = codebook_file
        self.reseed_dead = reseed_dead
        self.augmenter = augmenter

    def encode(self, batch, stage):
        """Returns the frames ``[batch, time, C]`` and their lengths."""
        batch = batch.to(self.device)
        inputs, lengths = batch.sig
        if stage == sb.Stage.TRAIN and self.augmenter is not None:
            inputs, lengths = self.augmenter(inputs, lengths)
        frames, lengths = self.modules.encoder(inputs, lengths)
        return self.modules.norm(frames), lengths

    def compute_forward(self, batch, stage):
        """Returns the frames and their lengths."""
        return self.encode(batch, stage)

    def compute_objectives(self, predictions, batch, stage):
        """Computes Eq. 1."""
        return self.modules.codebook(*predictions)

    def fit(self, epoch_counter, train_set, valid_set=None, **kwargs):
        """Trains; see `SERBrain.fit`."""
        self.train_set = train_set
        super().fit(epoch_counter, train_set, valid_set, **kwargs)

    def on_fit_start(self):
        """Sets the prototypes, unless a checkpoint did."""
        super().on_fit_start()
        if self.codebook is not None and self.optimizer_step == 0:
            if self.codebook_file is not None:
                load_codebook(self.codebook, self.codebook_file)
            else:
                every = torch.arange(len(self.codebook.prototypes))
                self.draw_prototypes(every)

    def on_epoch_end(self, epoch):
        """Notes how the prototypes were used; draws the dead ones anew."""
        if self.codebook is not None:
            used, perplexity = self.codebook.usage()
            self.train_row |= {
                "used_prototypes": used,
                "perplexity": perplexity,
            }
            dead = (self.codebook.chosen == 0).nonzero().flatten()
            if self.reseed_dead and len(dead) and epoch < self.epochs:
                self.draw_prototypes(dead, epoch)
            self.codebook.chosen.zero_()
        super().on_epoch_end(epoch)

    @torch.no_grad()
    def draw_prototypes(self, which, epoch=0):
        """Sets prototypes to random frames of the training part."""
        ids = list(self.train_set.data_ids)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(ids))
        wanted = FRAMES_PER_PROTOTYPE * len(which)
        self.modules.eval()
        frames = []
        for start in range(0, len(ids), self.eval_batch_size):
            some = order[start : start + self.eval_batch_size]
            frames += self.frames_of(self.train_set, [ids[i] for i in some])
            if sum(map(len, frames)) >= wanted:
                break
        self.codebook.draw(torch.cat(frames), which, seed=self.seed + epoch)
        if world_size() > 1:
            torch.distributed.broadcast(self.codebook.prototypes.data, 0)

    def frames_of(self, dataset, ids):
        """Returns the valid frames of utterances, each ``[time, C]``."""
        chosen = FilteredSortedDynamicItemDataset(dataset, ids)
        loader = self.make_dataloader(chosen, sb.Stage.TEST, ckpt_prefix=None)
        found = []
        for batch in loader:
            with self.evaluation_ctx:
                frames, lengths = self.encode(batch, sb.Stage.TEST)
            counts = (lengths * frames.shape[1]).round().long().clamp(min=1)
            found += [x[:n].float() for x, n in zip(frames, counts.tolist())]
        return found


class LPMNBrain(CodebookBrain):
    """Local prototypical mapping network, and the poolings it is compared with.

    After training the prototypes are selected (section 3.3): for each number K'
    a linear probe is fitted on the K' most important prototypes, the rest
    frozen, and evaluated as the part ``evaluation_<K'>``; beside it, so that the
    probe alone does not look like a gain, one on all prototypes
    (``evaluation_all``) and one on K' prototypes drawn at random
    (``evaluation_random_<K'>``).

    Arguments
    ---------
    importance : FisherImportance
    select : list of int, str, int or None
        The numbers K', see `sizes_of`.
    quantization_weight : float
        Of Eq. 1 in the loss.
    emotion_weight, valence_weight : float
        Of the cross entropy, and of the squared error of the valence (0: there
        is no valence).
    drawn : list of str or str
        Utterances, or audio files, whose mapping over time is drawn; none: the
        surest of each class.
    sample_rate : int
        In Hz.
    **kwargs : dict
        Of `CodebookBrain`; the modules are ``encoder``, ``norm``, ``pooling``,
        ``classifier`` and, for valence, ``regressor``.
    """

    def __init__(
        self,
        importance,
        select=(),
        quantization_weight=1.0,
        emotion_weight=1.0,
        valence_weight=0.0,
        drawn=(),
        sample_rate=16000,
        **kwargs,
    ):
        self.pooling = kwargs["modules"]["pooling"]
        self.lpmn = isinstance(self.pooling, LocalPrototypicalMapping)
        codebook = self.pooling.codebook if self.lpmn else None
        super().__init__(codebook, **kwargs)
        self.importance = importance.to(self.device)
        self.select = []
        if self.lpmn:
            self.select = sizes_of(select, "lpmn", self.pooling.size)
        self.quantization_weight = quantization_weight
        self.emotion_weight = emotion_weight
        self.valence_weight = valence_weight
        self.drawn = words_of(drawn)
        self.sample_rate = sample_rate
        self.kept = {}
        self.probes, self.probe_scores = {}, {}

    # Training

    def compute_forward(self, batch, stage):
        """Encodes, maps onto the prototypes and classifies."""
        frames, lengths = self.encode(batch, stage)
        pooled, winners = self.modules.pooling(frames, lengths), None
        if self.lpmn:
            pooled, winners = pooled  # Eq. 2, Y = maxpool(D)
        predictions = {
            "logits": self.modules.classifier(pooled),
            "embeddings": pooled,
            "winners": winners,
            "frames": frames,
            "lengths": lengths,
        }
        if self.valence_weight:
            predictions["valence"] = self.modules.regressor(pooled).squeeze(1)
        return predictions

    def compute_objectives(self, predictions, batch, stage):
        """Computes cross entropy, squared error of the valence and Eq. 1."""
        loss = self.cross_entropy(predictions["logits"], batch.label)
        loss = self.emotion_weight * loss
        training = stage == sb.Stage.TRAIN
        if self.valence_weight:
            error = predictions["valence"].float() - batch.valence.float()
            error = error[~error.isnan()].square()
            total, n = error.sum(), len(error)
            mean = (
                mean_over_processes(total, n) if training else total / max(n, 1)
            )
            loss = loss + self.valence_weight * mean
        if training and self.lpmn:
            frames, lengths = predictions["frames"], predictions["lengths"]
            quantization = self.codebook(frames, lengths)  # Eq. 1
            self.history.add(
                quantization_loss=quantization.detach() / world_size()
            )
            loss = loss + self.quantization_weight * quantization
            log_p = torch.log_softmax(predictions["logits"].float(), dim=1)
            self.importance.update(  # Eq. 4
                log_p.gather(1, batch.label.unsqueeze(1)).squeeze(1),
                predictions["embeddings"],
                predictions["winners"],
                frames.detach(),
                lengths,
                self.pooling,
            )
        return loss

    # Evaluation

    def outputs(self, predictions):
        """Adds the valence, and what is pooled from selected prototypes."""
        outputs = super().outputs(predictions)
        if self.valence_weight:
            outputs["valence"] = predictions["valence"].float()
        for name, kept in self.kept.items():
            frames, lengths = predictions["frames"], predictions["lengths"]
            outputs[f"pooled_{name}"] = self.pooling(frames, lengths, kept)[0]
        return outputs

    def columns(self, prediction):
        """Adds the valence."""
        columns = super().columns(prediction)
        if self.valence_weight:
            columns["valence"] = prediction["entry"].get("valence")
            columns["predicted_valence"] = round(
                float(prediction["valence"]), 6
            )
        return columns

    def score(self, predictions):
        """Adds the valence's squared error and the challenge's score."""
        score = super().score(predictions)
        if score is None or not self.valence_weight:
            return score
        errors = [
            (float(p["valence"]) - p["entry"]["valence"]) ** 2
            for p in predictions.values()
            if p["entry"].get("valence") is not None
        ]
        if errors:
            score["valence_MSE"] = float(np.mean(errors))
            score["combined"] = (
                score["weighted_F1"] - 0.25 * score["valence_MSE"]
            )
        return score

    # Selection of prototypes (section 3.3)

    def load_selected(self):
        """Loads the selected epoch; its importance selects prototypes."""
        epoch = super().load_selected()
        if self.select:
            ranking = self.importance.ranking()
            draw = torch.Generator().manual_seed(self.seed)
            self.kept = {"all": None}
            for size in self.select:
                self.kept[str(size)] = ranking[:size]
            for size in self.select:
                chosen = torch.randperm(len(ranking), generator=draw)[:size]
                self.kept[f"random_{size}"] = chosen.to(self.device)
        return epoch

    def more_predictions(self, predictions):
        """Fits the probes on the training part; classifies the evaluation's."""
        found = {name: self.probed(name, predictions) for name in self.kept}
        self.probe_scores = {
            name: self.score(probed) for name, probed in found.items()
        }
        return {f"evaluation_{name}": p for name, p in found.items()}

    def probed(self, name, predictions):
        """Returns what a probe on one set of prototypes says."""

        def pooled(part, key):
            """Features and what they shall tell, of what has it."""
            held = [
                (p[f"pooled_{name}"], p["entry"][key])
                for p in predictions.get(part, {}).values()
                if p["entry"].get(key) is not None
            ]
            features = [feature.numpy() for feature, _ in held]
            return np.array(features), [value for _, value in held]

        balanced = self.class_weights is not None
        model = probe(
            *pooled("train", "emotion"),
            *pooled("validation", "emotion"),
            balanced,
        )
        self.probes[name] = model
        evaluated = predictions["evaluation"]
        features = [p[f"pooled_{name}"].numpy() for p in evaluated.values()]
        posteriors = model.predict_proba(features)
        places = [self.labels.index(word) for word in model.classes_]
        result = {}
        for (key, prediction), row in zip(evaluated.items(), posteriors):
            posterior = torch.zeros(len(self.labels))
            posterior[places] = torch.from_numpy(row).float()
            result[key] = prediction | {"posterior": posterior}
        if self.valence_weight:
            values = regression_probe(
                *pooled("train", "valence"), *pooled("validation", "valence")
            ).predict(features)
            for prediction, value in zip(result.values(), values):
                prediction["valence"] = torch.tensor(value)
        return result

    # Report

    def findings(self):
        """Says how many prototypes are used in the selected epoch."""
        if not self.lpmn:
            return {}
        share = self.importance.importance.sort(descending=True).values
        share = share / share.sum().clamp(min=1e-30)
        return {
            "prototypes": len(share),
            "importance_share": {
                str(size): float(share[:size].sum()) for size in self.select
            },
        }

    def print_intervals(self, scores):
        """Prints the valence's scores, then the intervals."""
        for part, score in scores.items():
            if "valence_MSE" in score:
                print(
                    f"{part}: valence MSE {score['valence_MSE']:.4f}, weighted "
                    f"F1 - MSE / 4 {score['combined']:.4f}"
                )
        super().print_intervals(scores)

    def write_prototypes(self):
        """Writes ``prototypes.csv``: rank, importance, class and selection."""
        importance = self.importance.importance.cpu()
        total = importance.sum().clamp(min=1e-30)
        classes = self.classes_of(None)
        rows = []
        for rank, index in enumerate(self.importance.ranking().tolist(), 1):
            row = {
                "rank": rank,
                "prototype": index,
                "importance": float(importance[index]),
                "share": float(importance[index] / total),
                "class": classes[index],
            }
            rows.append(
                row | {f"kept_{k}": int(rank <= k) for k in self.select}
            )
        write_csv(os.path.join(self.output_folder, "prototypes.csv"), rows)

    def classes_of(self, name):
        """Returns the class that each prototype speaks for most.

        Arguments
        ---------
        name : str or None
            Of a probe; None: the classifier that was trained with them.
        """
        if name is None:
            weight = self.classifier_weight()
            return [self.labels[i] for i in weight.argmax(axis=0)]
        model = self.probes[name]
        weight = model[-1].coef_ / model[0].scale_
        if len(weight) == 1:  # two classes
            weight = np.concatenate([-weight, weight])
        return [model.classes_[i] for i in weight.argmax(axis=0)]

    def classifier_weight(self):
        """Returns the classifier's weight ``[classes, K]``."""
        (weight,) = [
            p for p in self.modules.classifier.parameters() if p.ndim == 2
        ]
        return weight.detach().float().cpu().numpy()

    def draw_figures(self, predictions, title):
        """Draws curves, embeddings, importance, selection, mapping over time."""
        losses = {
            "train_loss": "training, total",
            "quantization_loss": "quantization (Eq. 1)",
            "valid_loss": "validation",
        }
        panels = [
            ("loss", losses),
            ("validation", {"valid_WA": "WA", "valid_UA": "UA"}),
        ]
        if self.lpmn:
            panels.append(
                (
                    "prototypes",
                    {
                        "used_prototypes": "used",
                        "perplexity": "perplexity",
                    },
                )
            )
        rows = self.history.rows
        plots.plot_curves(self.figure("curves"), rows, panels, title)
        self.draw_embedding(predictions, title=title)
        if not self.lpmn:
            return
        self.write_prototypes()
        mapping_plots.plot_importance(
            self.figure("importance"),
            self.importance.importance.cpu().numpy(),
            self.select,
            title,
        )
        if self.probe_scores.get("all"):
            self.draw_selection(title)
        for name, entry in self.to_draw(predictions).items():
            self.draw_mapping(name, entry)

    def draw_selection(self, title):
        """Draws the UA after selection, chosen by Eq. 4 and at random."""

        def percent(name):
            """UA of a probe, in per cent."""
            return 100 * self.probe_scores[name]["UA"]

        mapping_plots.plot_selection(
            self.figure("selection"),
            self.select,
            [percent(str(size)) for size in self.select],
            [percent(f"random_{size}") for size in self.select],
            percent("all"),
            "UA (%)",
            title,
        )

    def to_draw(self, predictions):
        """Returns the utterances whose mapping is drawn, name to entry."""
        evaluated = predictions["evaluation"]
        if self.drawn:
            held = {
                part: {key: p["entry"] for key, p in found.items()}
                for part, found in predictions.items()
            }
            return {name: entry_of(name, held) for name in self.drawn}
        surest = {}
        for key, p in evaluated.items():
            word = p["entry"].get("emotion")
            if word is not None:
                sure = float(p["posterior"][self.labels.index(word)])
                if sure > surest.get(word, (-1,))[0]:
                    surest[word] = (sure, key, p["entry"])
        return {key: entry for _, key, entry in surest.values()}

    @torch.no_grad()
    def draw_mapping(self, name, entry):
        """Draws where in an utterance the kept prototypes were found."""
        wave = load_audio(entry, self.sample_rate)
        kept, classes = self.importance.ranking()[:SHOWN], self.classes_of(None)
        classes = [classes[i] for i in kept.tolist()]
        if self.select:
            smallest = str(self.select[-1])
            kept, classes = self.kept[smallest], self.classes_of(smallest)
        self.modules.eval()
        with self.evaluation_ctx:
            frames, lengths = self.modules.encoder(
                wave.unsqueeze(0).to(self.device),
                torch.ones(1, device=self.device),
            )
            frames = self.modules.norm(frames)
            logits = self.modules.classifier(self.pooling(frames, lengths)[0])
        heard = self.labels[int(logits.argmax())]
        mapping = self.pooling.over_time(frames[0], kept)
        names = [
            f"{index} · {plots.class_name(word)}"
            for index, word in zip(kept.tolist(), classes)
        ]
        file = os.path.splitext(os.path.basename(name))[0]
        path = self.figure(f"mapping_{file}")
        if self.drawn:
            print(f"{name}: {heard}, see {path}")
        mapping_plots.plot_local_mapping(
            path,
            wave.numpy(),
            self.sample_rate,
            mapping.float().cpu().numpy(),
            len(wave) / self.sample_rate / len(mapping),
            mapping.argmax(dim=0).cpu().numpy(),
            names,
            f"{file}, heard as {plots.class_name(heard)}, labelled "
            f"{plots.class_name(entry.get('emotion') or 'not at all')}",
        )
