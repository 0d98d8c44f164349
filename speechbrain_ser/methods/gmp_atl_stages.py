"""How the stages of GMP-ATL before the last are made (section 3).

Each leaves in its folder what the next one begins with: an encoder in
transformers' format, or pseudo-labels. None of them hears a part that tests.
"""

import functools
import os

from speechbrain.utils.distributed import infer_device
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain_ser.data.frame_cache import FrameCache, fill_once
from speechbrain_ser.data.pseudo_labelling import make_pseudo_labels
from speechbrain_ser.data.pseudo_labels import PseudoLabels
from speechbrain_ser.methods.gmp_atl import ENCODER
from speechbrain_ser.methods.gmp_atl_checks import (
    Clusters,
    check_frames,
    check_labels,
    check_layer,
    clusters_of,
    genders_digest,
    genders_of,
    labelled,
    source_digest,
)
from speechbrain_ser.utils.checkpoints import AtomicCheckpointer
from speechbrain_ser.utils.distributed import on_main
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import NOTHING, Number, Whole, Word, checked


def fit(maker, folder, parts, options, **more):
    """Trains the Brain of a stage; keeps its encoder.

    Arguments
    ---------
    maker : callable
        Makes it.
    folder : str
        Of the stage.
    parts : dict
        ``train`` and ``valid``.
    options : dict
        SpeechBrain's ``hparams`` and ``run_opts``.
    **more : dict
        Further arguments of the maker.

    Returns
    -------
    brain : SERBrain
        At the selected epoch.
    row : dict
        Of that epoch.
    """
    brain = maker(
        output_folder=folder,
        checkpointer=functools.partial(
            AtomicCheckpointer, os.path.join(folder, "save")
        ),
        **options,
        **more,
    )
    counter = EpochCounter(brain.number_of_epochs)
    brain.checkpointer.add_recoverable("counter", counter)
    brain.set_parts(parts)
    brain.fit(counter, brain.train_set, brain.datasets.get("valid"))
    epoch = brain.load_selected()
    on_main(brain.encoder.export, os.path.join(folder, ENCODER))
    (row,) = (row for row in brain.history.rows if row["epoch"] == epoch)
    return brain, row


# Stage 1


def multitask(maker, folder, parts, stages, options):
    """Trains on emotion and gender (Eq. 1).

    Arguments
    ---------
    maker : callable
        Of `MultiTaskBrain`.
    folder : str
        Of the stage.
    parts : dict
        ``train`` and ``valid``.
    stages : dict
        Name to folder of the stages before it: none.
    options : dict
        SpeechBrain's ``hparams`` and ``run_opts``.

    Returns
    -------
    dict
        The selected epoch, and its losses and scores.
    """
    genders = genders_of(labelled(parts), maker.keywords["alpha_e"])
    brain, row = fit(maker, folder, parts, options, genders=genders)
    return {"epoch": row["epoch"], "wall_seconds": brain.wall_seconds()} | {
        name: value
        for name, value in row.items()
        if name.startswith(("train_", "valid_"))
    }


def model_input(makers, parts):
    """Returns which model all stages start from, by its content."""
    source = makers["multitask"].keywords["source"]
    return {"pre-trained model": source_digest(source)}


def genders_input(maker, parts):
    """Returns the genders, which `MultiTaskBrain` learns."""
    return {"genders": genders_digest(labelled(parts))}


class Labelling:
    """Clusters the frames of a layer at several scales (section 3.1).

    Arguments
    ---------
    encoder : callable
        Makes the encoder of its ``source`` and ``layer``.
    source : str
        The pre-trained model, which stage 1 trained further.
    layer : int
        -1 is the last.
    clusters : list of int or str
        Of each scale.
    corpus_name : str or None
        For who looks at the pseudo-labels later.
    cache_folder : str
        Where the layer's frames are kept.
    sample_rate : int
        In Hz.
    seed : int
        Of the k-means.
    kmeans_frames : int or None
        A sample of so many frames makes the clusters; None: all of the train
        part.
    kmeans_memory : float
        GB of frames that may be held.
    """

    @checked
    def __init__(
        self,
        encoder,
        source: Word(),
        layer: Whole(),
        clusters: Clusters(),
        corpus_name: Word(optional=True),
        cache_folder: Word(needed="for the layer's frames", counts=NOTHING),
        sample_rate: Whole(1) = 16000,
        seed: Whole(0, 2**32 - 1) = 0,
        kmeans_frames: Whole(1, 1e12, optional=True) = None,
        kmeans_memory: Number(1e-6, 1e6) = 8.0,
    ):
        self.encoder = encoder
        self.source = source
        self.layer = layer
        self.sizes = clusters_of(clusters)
        self.corpus_name = corpus_name
        self.cache_folder = cache_folder
        self.sample_rate = sample_rate
        self.seed = seed
        self.kmeans_frames = kmeans_frames
        self.kmeans_memory = kmeans_memory

    def origin(self):
        """Returns what the frames come from."""
        return {"encoder": source_digest(self.source), "layer": self.layer}

    def check(self, annotation):
        """Refuses a layer or clusters that the speech does not have.

        Arguments
        ---------
        annotation : dict
            The train part.
        """
        encoder = self.encoder(source=self.source)
        check_layer(encoder, self.layer, self.source)
        check_frames(
            encoder,
            annotation,
            self.sizes,
            self.sample_rate,
            self.kmeans_frames,
            self.kmeans_memory,
        )

    def make(self, folder, parts, source, run_opts):
        """Fits the centres on the train part; labels what is validated too.

        Arguments
        ---------
        folder : str
            Of the pseudo-labels.
        parts : dict
            ``train`` and ``valid``.
        source : str
            The encoder.
        run_opts : RunOptions
        """
        encoder = self.encoder(source=source, layer=self.layer, frozen=True)
        cache = FrameCache(self.cache_folder, encoder, self.sample_rate)
        fill_once(
            cache,
            encoder,
            [labelled(parts)],
            run_opts.device or infer_device(),
            f"frames of layer {self.layer}",
        )
        about = {
            "corpus": self.corpus_name,
            "speakers": speakers(labelled(parts)),
        }

        def cluster():
            """Makes the files, or what is missing of them."""
            make_pseudo_labels(
                folder,
                cache,
                fitted=parts["train"],
                labelled=labelled(parts),
                sizes=self.sizes,
                seed=self.seed,
                max_frames=self.kmeans_frames,
                memory=self.kmeans_memory,
                about=self.origin() | about,
                show=not run_opts.noprogressbar,
            )

        on_main(cluster)


def speakers(annotation):
    """Returns the speakers of an annotation that names them."""
    named = {entry.get("speaker") for entry in annotation.values()}
    return sorted(named - {None})


def label(maker, folder, parts, stages, options):
    """Makes pseudo-labels with the encoder of `multitask`, see there."""
    source = os.path.join(stages["multitask"], ENCODER)
    maker().make(folder, parts, source, options["run_opts"])
    return {"layer": maker.keywords["layer"]}


def check_labelling(maker, parts, given):
    """Refuses pseudo-labels that can't be made, or are not this run's.

    Arguments
    ---------
    maker : callable
        Of `Labelling`.
    parts : dict
        Those that train, and ``test``.
    given : str or None
        A folder of pseudo-labels.

    Raises
    ------
    InputError
    """
    labelling = maker()
    if given is None:
        labelling.check(parts["train"])
        return
    labels = PseudoLabels(given)
    labels.check(**labelling.origin())
    check_labels(labels, parts)


# Stage 2


def retrain(maker, folder, parts, stages, options):
    """Trains masked prediction of the pseudo-labels; see `multitask`.

    Arguments
    ---------
    maker : callable
        Of `RetrainingBrain`.
    folder, parts, stages, options : str, dict, dict, dict
        See `multitask`; of stages ``labels``, and ``multitask`` if it starts
        there.

    Returns
    -------
    dict
        The last epoch, and how many labels of masked frames are predicted.
    """
    before = {}
    if "multitask" in stages:
        before = {"multitask": os.path.join(stages["multitask"], ENCODER)}
    labels = PseudoLabels(stages["labels"])
    brain, row = fit(
        maker, folder, parts, options, pseudo_labels=labels, **before
    )
    return {"epoch": row["epoch"], "wall_seconds": brain.wall_seconds()} | {
        name: value for name, value in row.items() if "masked" in name
    }


def given_files(settings):
    """Returns the file that names pseudo-labels which were made before.

    Arguments
    ---------
    settings : dict

    Returns
    -------
    dict
        Setting to path, empty if there are none.

    Raises
    ------
    InputError
        If they are not there, or stage 2 needs more than them.
    """
    folder = settings["pseudo_label_folder"]
    if folder is None:
        return {}
    labels = PseudoLabels(folder)
    if settings["retraining_start"] == "multitask":
        raise InputError(
            "pseudo-labels of --pseudo_label_folder come without the encoder "
            "of stage 1: give --retraining_start pretrained"
        )
    return {"pseudo_label_folder": labels.path}


# The stages before the last, in order; what each one's keys are is said in
# `experiment.staged.Step`.
STEPS = {
    "multitask": {
        "number": 1,
        "words": "multi-task training",
        "make": multitask,
        "inputs": genders_input,
    },
    "labels": {
        "number": 1,
        "words": "pseudo-labels",
        "make": label,
        "check": check_labelling,
    },
    "retrained": {"number": 2, "words": "retraining", "make": retrain},
}
