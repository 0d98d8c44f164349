#!/usr/bin/env python3
"""Recipe for ambiguous speech emotion recognition with IPR on IEMOCAP.

Iterative prototype refinement learns prototypes of the classes from precise
utterances (D1); these label ambiguous ones (D2), which in turn refine them. It
is evaluated on the most ambiguous utterances (D3).

Reference: "Iterative Prototype Refinement for Ambiguous Speech Emotion
Recognition", Sun et al. 2024 (https://arxiv.org/abs/2408.00325).

To run it:
> python train_ipr.py hparams/ipr.yaml --data_folder IEMOCAP_full_release
"""

import speechbrain as sb
import torch
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_logger

from speechbrain_ser.brain import SELECTIONS, SERBrain
from speechbrain_ser.corpora.annotations import (
    class_table,
    write_annotation,
)
from speechbrain_ser.corpora.iemocap import read_iemocap
from speechbrain_ser.corpora.mini.iemocap import mini_iemocap
from speechbrain_ser.corpora.protocols import checks as protocols
from speechbrain_ser.corpora.protocols import named as named_protocols
from speechbrain_ser.data.augmentation import augment_copies
from speechbrain_ser.data.dataset import (
    CLASS_WEIGHTS,
    UNLABELLED,
    class_weights,
    make_dataset,
    without_labels,
)
from speechbrain_ser.experiment import recipe
from speechbrain_ser.experiment.plan import Plan
from speechbrain_ser.figures import plots
from speechbrain_ser.schedules import warmup_length
from speechbrain_ser.utils.distributed import gather_batch, world_size
from speechbrain_ser.utils.errors import InputError

logger = get_logger(__name__)

SYSTEMS = ("baseline", "baseline_plus", "ipr", "supervised")
PROTOCOL = "iemocap-ambiguity@1"
PAPER_SIZES = "the paper on IEMOCAP (Table 1): D1 1710, D2 3421, D3 400"


class IPRBrain(SERBrain):
    """Iterative prototype refinement and the systems it is compared with.

    Arguments
    ---------
    warmup : int
        Epochs on D1 alone.
    precise : DynamicItemDataset
        D1 as it is trained on: the prototypes' class means.
    ambiguous : DynamicItemDataset or None
        D2 with what is known of it, for the agreement curve alone.
    **kwargs : dict
        Of `SERBrain`.
    """

    probed_parts = ("precise", "ambiguous")  # of every system the same speech

    def __init__(self, warmup, precise, ambiguous=None, **kwargs):
        super().__init__(**kwargs)
        self.warmup = warmup
        self.precise = precise
        self.ambiguous = ambiguous
        self.system = self.hparams.system

    @property
    def joined(self):
        """Whether unlabelled D2 takes part in the present epoch."""
        learns = self.system in ("ipr", "baseline_plus")
        return learns and self.hparams.epoch_counter.current > self.warmup

    def compute_forward(self, batch, stage):
        """Encodes and classifies; in training the copies of D2 as well."""
        batch = batch.to(self.device)
        wavs, lengths = batch.sig
        n = len(wavs)
        if stage == sb.Stage.TRAIN and self.joined:
            ambiguous = batch.label == UNLABELLED
            copies = augment_copies(
                self.hparams.augmenter, wavs[ambiguous], lengths[ambiguous]
            )
            wavs = torch.cat([wavs, copies])
            lengths = torch.cat([lengths, lengths[ambiguous]])
        # Eq. 1
        frames, lengths = self.modules.encoder(wavs, lengths)
        embeddings = self.modules.pooling(frames, lengths)
        logits = self.modules.classifier(embeddings)
        return {
            "logits": logits[:n],
            "embeddings": embeddings[:n],
            "copy_logits": logits[n:],
            "copy_embeddings": embeddings[n:],
        }

    def compute_objectives(self, predictions, batch, stage):
        """Computes Eq. 6: precise, pseudo-labelled and contrastive loss."""
        logits, labels = predictions["logits"], batch.label
        precise = labels != UNLABELLED
        loss = self.cross_entropy(logits[precise], labels[precise])
        if stage != sb.Stage.TRAIN:
            return loss
        self.history.add(precise_loss=loss.detach() / world_size())
        loss = self.hparams.alpha * loss
        if self.joined:
            k, k_logits = predictions["embeddings"][~precise], logits[~precise]
            copy, copy_logits = (
                predictions["copy_embeddings"],
                predictions["copy_logits"],
            )
            beta = self.hparams.pseudo_label_weight(
                self.hparams.epoch_counter.current - 1
            )
            if self.system == "ipr":
                pseudo = self.prototype_loss(k, k_logits, copy, copy_logits)
                loss = loss + self.hparams.mu * self.contrastive(k, copy)
            else:
                # taken from the plain view for the copy: of one and the same
                # pass the gradient would be zero
                own = torch.softmax(k_logits.detach().float(), dim=-1)
                pseudo = self.cross_entropy(copy_logits, own)
            self.history.add(pseudo_loss=pseudo.detach() / world_size())
            loss = loss + beta * pseudo
        return loss

    def prototype_loss(self, k, k_logits, copy, copy_logits):
        """Cross entropy of the classifier and the prototypes' pseudo-labels."""
        prototypes = self.modules.prototypes
        assigned = prototypes.pseudo_label(k)  # Eq. 3
        target = assigned
        if self.hparams.pseudo_label == "soft":
            target = prototypes.soft_label(k).detach()
        teaches = torch.ones_like(assigned, dtype=torch.bool)
        if self.hparams.taught == "agreed":
            teaches = k_logits.argmax(dim=-1) == assigned
        self.history.add(taught=teaches.float().mean() if len(k) else None)
        views = {"plain": [k_logits], "augmented": [copy_logits]}
        views["both"] = [k_logits, copy_logits]
        losses = [
            self.cross_entropy(view[teaches], target[teaches])
            for view in views[self.hparams.taught_view]
        ]
        return sum(losses) / len(losses)

    def contrastive(self, k, copy):
        """Contrastive loss over the utterances of all processes (Eq. 5)."""
        k, copy = gather_batch(k), gather_batch(copy)
        loss = self.hparams.contrastive_loss(
            k,
            copy,
            self.modules.prototypes.pseudo_label(k),
            self.modules.prototypes.pseudo_label(copy),
        )
        self.history.add(contrastive_loss=loss.detach())
        return loss * world_size()

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        """Moves the prototypes (Eq. 4)."""
        if self.system == "ipr" and self.joined:
            ambiguous = batch.label == UNLABELLED
            agreed = self.modules.prototypes.update(
                gather_batch(outputs["embeddings"][ambiguous]),
                gather_batch(outputs["logits"][ambiguous]),
                gather_batch(outputs["copy_logits"]),
            )
            if len(agreed):
                self.history.add(views_agree=agreed.float().mean())

    def on_epoch_end(self, epoch):
        """Sets the prototypes while the warm-up lasts; notes both figures."""
        if self.system == "ipr":
            if epoch <= self.warmup:
                self.set_prototypes()
            self.history.notes.setdefault("similarity", []).append(
                self.modules.prototypes.similarity().tolist()
            )
        if self.ambiguous is not None and self.hparams.agreement_curve:
            self.train_row |= self.agreement(self.predict(self.ambiguous))
        super().on_epoch_end(epoch)

    def set_prototypes(self):
        """Sets the prototypes to the class means of D1 (Eq. 2)."""
        precise = self.predict(self.precise).values()
        index = {word: i for i, word in enumerate(self.labels)}
        self.modules.prototypes.initialize(
            torch.stack([p["embedding"] for p in precise]).to(self.device),
            torch.tensor([index[p["entry"]["emotion"]] for p in precise]),
        )

    def agreement(self, predictions):
        """Compares both kinds of pseudo-label with the held labels."""
        kinds = {"model_agreement": "posterior"}
        if self.system == "ipr":
            kinds["prototype_agreement"] = "soft_label"
        held = [
            p
            for p in predictions.values()
            if p["entry"].get("emotion") is not None
        ]
        if not held:
            return {}
        return {
            name: sum(
                self.labels[int(p[kind].argmax())] == p["entry"]["emotion"]
                for p in held
            )
            / len(held)
            for name, kind in kinds.items()
        }

    def outputs(self, predictions):
        """Adds the prototypes' soft label."""
        outputs = super().outputs(predictions)
        if self.system == "ipr":
            outputs["soft_label"] = self.modules.prototypes.soft_label(
                predictions["embeddings"]
            )
        return outputs

    def columns(self, prediction):
        """Adds the prototypes' soft label and pseudo-label."""
        columns = super().columns(prediction)
        if self.system == "ipr":
            soft = prediction["soft_label"]
            for word, value in zip(self.labels, soft.tolist()):
                columns[f"soft_label_{word}"] = round(value, 6)
            columns["pseudo_label"] = self.labels[int(soft.argmax())]
        return columns

    def draw_figures(self, predictions, title):
        """Draws training curves, Figures 2 and 3, and the embeddings."""
        rows = self.history.rows
        epochs = [row["epoch"] for row in rows]
        marks = []
        if self.system in ("ipr", "baseline_plus"):
            marks = [(self.warmup, "end of warm-up")]
        plots.plot_curves(
            self.figure("curves"),
            rows,
            [
                (
                    "loss",
                    {
                        "train_loss": "training, total",
                        "precise_loss": "precise",
                        "pseudo_loss": "pseudo-labelled",
                        "contrastive_loss": "contrastive",
                        "valid_loss": "validation",
                    },
                ),
                ("validation", {"valid_WA": "WA", "valid_UA": "UA"}),
            ],
            title,
            marks,
        )
        if any("model_agreement" in row for row in rows):
            plots.plot_agreement(
                self.figure("pseudo_label_agreement"),
                epochs,
                [row.get("model_agreement") for row in rows],
                [row.get("prototype_agreement") for row in rows],
                marks,
            )
        prototypes = None
        if self.system == "ipr":
            prototypes = self.modules.prototypes.prototypes.cpu().numpy()
            plots.plot_prototype_similarity(
                self.figure("prototype_similarity"),
                epochs,
                self.history.notes["similarity"],
                self.labels,
                marks,
            )
        self.draw_embedding(predictions, prototypes, title)


def prepare(
    data_folder,
    labels,
    merge_excited,
    self_evaluations,
    improvised_only,
    **sizes,
):
    """Reads the corpus and splits it by the annotators' agreement.

    Arguments
    ---------
    data_folder : str
    labels : list of str
    merge_excited, self_evaluations, improvised_only : bool
        See `read_iemocap`.
    **sizes : dict
        Of `named_protocols.ambiguity`.

    Returns
    -------
    dict
        ``precise`` (D1), ``validation`` (of D1), ``ambiguous`` (D2) and
        ``evaluation`` (D3), each an annotation.
    """
    annotation = read_iemocap(
        data_folder,
        merge_excited=merge_excited,
        labels=labels,
        self_evaluations=self_evaluations,
        improvised_only=improvised_only,
    )
    return named_protocols.split(PROTOCOL, annotation, **sizes)


def split(settings):
    """Reads and splits the corpus; once for the same settings."""
    return recipe.prepared(
        prepare,
        data_folder=settings["data_folder"],
        labels=settings["labels"],
        merge_excited=settings["merge_excited"],
        self_evaluations=settings["self_evaluations"],
        improvised_only=settings["improvised_only"],
        evaluation_size=settings["evaluation_size"],
        precise_size=settings["precise_size"],
        held_out_session=settings["held_out_session"],
        valid_share=settings["valid_share"],
    )


def annotation_paths(settings):
    """Returns where the annotation of each part lies."""
    return {
        "precise": settings["train_annotation"],
        "validation": settings["valid_annotation"],
        "ambiguous": settings["unlabelled_annotation"],
        "evaluation": settings["test_annotation"],
    }


def plan(path, overrides):
    """Checks the settings, reads the corpus and splits it.

    Arguments
    ---------
    path : str
        The hparams file.
    overrides : str
        YAML.

    Returns
    -------
    Plan

    Raises
    ------
    InputError
        If a setting, the corpus or the split is not as it must be.
    """
    settings = recipe.peek(path, overrides)
    if settings["data_folder"] is None and not settings["skip_prep"]:
        path, overrides = recipe.on_mini_corpus(
            path,
            overrides,
            settings["mini_hparams"],
            settings["corpus"],
            __file__,
            mini_iemocap,
        )
        settings = recipe.peek(path, overrides)
    check_settings(settings)
    if settings["skip_prep"]:
        parts = recipe.read_parts(
            annotation_paths(settings), ("precise", "evaluation")
        )
        protocol = "annotations of one's own"
    else:
        parts = split(settings)
        protocol = named_protocols.full_name(PROTOCOL, settings)
    check_parts(parts, settings)
    return Plan(__file__, path, overrides, settings, parts, protocol)


def check_parts(parts, settings):
    """Refuses a split that the system can't be trained on.

    Arguments
    ---------
    parts : dict
        Of `prepare`.
    settings : dict

    Raises
    ------
    InputError
        Naming what is missing and the mend.
    """
    protocols.check_classes(parts["precise"], settings["labels"], "D1 (train)")
    if (
        settings["system"] in ("ipr", "baseline_plus")
        and not parts["ambiguous"]
    ):
        raise InputError(
            f"--system {settings['system']} learns from unlabelled speech, and "
            f"there is none (no {settings['unlabelled_annotation']}): give "
            "--unlabelled_annotation"
        )
    if settings["model_selection"] == "best" and not parts["validation"]:
        raise InputError(
            "the best epoch can't be chosen without a validation part (no "
            f"{settings['valid_annotation']}): give --valid_share or "
            "--valid_annotation, or --model_selection last"
        )


def print_sizes(parts, settings):
    """Prints the classes of each part beside the paper's sizes."""
    table = {
        "D1 precise": parts["precise"] | parts["validation"],
        "D2 ambiguous": parts["ambiguous"],
        "D3 evaluation": parts["evaluation"],
    }
    print(f"{settings['corpus']}, split by agreement; {PAPER_SIZES}")
    print(class_table(table, settings["labels"]), flush=True)


def main(path, run_opts, overrides):
    """Prepares, trains, evaluates and reports.

    Arguments
    ---------
    path : str
        The hparams file.
    run_opts : RunOptions
        SpeechBrain's.
    overrides : str
        YAML.
    """
    planned = plan(path, overrides)
    settings = planned.settings
    if if_main_process():
        print_sizes(planned.parts, settings)
    parts, notes = recipe.shorten(
        planned.parts, settings["max_duration"], settings["long_utterances"]
    )
    hparams = recipe.load(planned.path, planned.overrides)
    check_embedding(hparams)
    facts = planned.claim(hparams["output_folder"], run_opts)
    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=planned.path,
        overrides=planned.overrides,
    )
    recipe.begin_log(notes)
    if not settings["skip_prep"] and if_main_process():
        for part, path in annotation_paths(settings).items():
            write_annotation(path, parts[part])

    brain, train, valid = make_brain(hparams, run_opts, parts)
    brain.fit(hparams["epoch_counter"], train, valid)
    brain.report(
        {
            name: make_dataset(part, hparams["labels"], hparams["sample_rate"])
            for name, part in parts.items()
            if part
        },
        facts
        | {
            "method": "IPR",
            "system": settings["system"],
            "speakers": "held out"
            if settings["held_out_session"]
            else "shared between the parts, as in the paper",
            "warmup_epochs": brain.warmup,
        },
        f"{settings['system']} on {settings['corpus']}, seed {settings['seed']}",
    )


def check_settings(settings):
    """Refuses settings that no part of the recipe knows.

    Arguments
    ---------
    settings : dict
        The settings of the hparams file.

    Raises
    ------
    InputError
        Naming the setting.
    """
    for name, choices in {
        "system": SYSTEMS,
        "pseudo_label": ("hard", "soft"),
        "taught_view": ("plain", "augmented", "both"),
        "taught": ("all", "agreed"),
        "class_weights": CLASS_WEIGHTS,
        "model_selection": SELECTIONS,
    }.items():
        recipe.one_of(name, settings[name], choices)
    if len(settings["labels"]) != settings["n_classes"]:
        raise InputError(
            f"n_classes is {settings['n_classes']}, but labels has "
            f"{len(settings['labels'])} words: make them agree"
        )


def check_embedding(hparams):
    """Refuses an embedding size that is not what encoder and pooling give.

    Arguments
    ---------
    hparams : dict

    Raises
    ------
    InputError
        Naming both sizes.
    """
    hparams["encoder"].eval()
    with torch.no_grad():
        frames, lengths = hparams["encoder"](
            torch.zeros(1, hparams["sample_rate"]), torch.ones(1)
        )
    dim = hparams["pooling"](frames, lengths).shape[1]
    if dim != hparams["embedding_dim"]:
        raise InputError(
            f"embedding_dim is {hparams['embedding_dim']}, but the encoder and "
            f"the pooling give {dim}: set --embedding_dim {dim}"
        )


def make_brain(hparams, run_opts, parts):
    """Builds the Brain of a system with its training and validation data.

    Arguments
    ---------
    hparams : dict
    run_opts : RunOptions
    parts : dict
        Of `prepare`.

    Returns
    -------
    brain : IPRBrain
    train : DynamicItemDataset
    valid : DynamicItemDataset or None
    """
    labels, rate = hparams["labels"], hparams["sample_rate"]
    labelled = dict(parts["precise"])
    if hparams["system"] == "supervised":
        labelled |= parts["ambiguous"]
    warmup = warmup_length(
        hparams["warmup_epochs"],
        hparams["warmup_updates"],
        -(-len(labelled) // (hparams["batch_size"] * world_size())),
    )
    training = dict(labelled)
    if hparams["system"] in ("ipr", "baseline_plus"):
        hidden = without_labels(parts["ambiguous"])
        training |= {
            key: entry | {"first_epoch": warmup + 1}
            for key, entry in hidden.items()
        }
    valid = parts["validation"] and make_dataset(
        parts["validation"], labels, rate
    )
    ambiguous = parts["ambiguous"]
    brain = IPRBrain(
        warmup=warmup,
        precise=make_dataset(parts["precise"], labels, rate),
        ambiguous=make_dataset(ambiguous, labels, rate) if ambiguous else None,
        labels=labels,
        output_folder=hparams["output_folder"],
        batch_size=hparams["batch_size"],
        seed=hparams["seed"],
        learning_rates=hparams["learning_rates"],
        final_lr=hparams["final_lr"],
        selection=hparams["model_selection"],
        watched=make_dataset(parts["evaluation"], labels, rate),
        watched_epochs=hparams["watched_epochs"],
        class_weights=class_weights(labelled, labels, hparams["class_weights"]),
        eval_batch_size=hparams["eval_batch_size"],
        num_workers=hparams["num_workers"],
        speaker_probe=hparams["speaker_probe"],
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    return brain, make_dataset(training, labels, rate), valid or None


if __name__ == "__main__":
    recipe.run(main, __file__)
