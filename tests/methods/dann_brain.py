"""A small DANN Brain as its recipe builds it, of features without audio."""

import torch

import speechbrain as sb
from speechbrain_ser.corpora.protocols.cross_lingual import (
    CROSS_LINGUAL,
    MONO_LINGUAL,
)
from speechbrain_ser.experiment.hparams import load, with_overrides
from speechbrain_ser.experiment.two_languages import split_languages
from speechbrain_ser.lobes.features import fixed_length
from tests.recipes.helpers import ROOT

DANN = ROOT / "recipes" / "RECOLA" / "train_dann.py"
HPARAMS = str(DANN.parent / "hparams" / "dann.yaml")
# with what is not in the paper
OPEN = str(ROOT / "recipes" / "AnyCorpus" / "hparams" / "dann_logmel.yaml")
LABELS = ["low", "high"]
TRAIN, VALID = sb.Stage.TRAIN, sb.Stage.VALID
# 60 frames: 17 after the convolution, 4 pooled, 5 x 6 = 30 numbers
SMALL = {
    "seed": 3,
    "labels": LABELS,
    "model_selection": "last",
    "n_frames": 60,
    "n_mels": 8,
    "n_filters": 6,
    "pool_size": 4,
    "batch_size": 6,
    "number_of_epochs": 2,
    "last_epochs": 0,
    "dropout": 0.0,
    "penalty": "none",
    "lowest_lr": 0.0,
}
MODULES = ("encoder", "norm", "classifier", "language_classifier")


def corpus(name, n):
    """Utterances without audio, every third of them high."""
    return {
        f"{name}{i:02}": {
            "wav": f"{name}{i}",
            "duration": 1.0,
            "emotion": LABELS[i % 3 == 0],
            "speaker": f"{name}{i % 4}",
        }
        for i in range(n)
    }


def features_of(entry):
    """Random frames, always the same, some padded; the target lies elsewhere."""
    name, number = entry["wav"][0], int(entry["wav"][1:])
    generator = torch.Generator().manual_seed(number + 100 * ord(name))
    frames = torch.randn(20 + 11 * number % 60, 8, generator=generator)
    return fixed_length(frames * 1.5 + 0.7 if name == "t" else frames, 60)


def split(system="dann"):
    """The parts of two languages without audio, as the recipe makes them."""
    languages = {"source": corpus("s", 20), "target": corpus("t", 17)}
    alone = system == "mono"
    protocol = MONO_LINGUAL if alone else CROSS_LINGUAL
    return split_languages(languages, protocol, {}, alone)


def build_bare(folder, path=HPARAMS, **settings):
    """Builds the Brain without parts; ``built`` holds its hparams."""
    settings = SMALL | {"output_folder": str(folder)} | settings
    hparams = load(path, with_overrides("", **settings))
    run_opts = {"device": "cpu", "noprogressbar": True}
    run_opts = sb.core.RunOptions.from_dictionary(run_opts)
    brain = hparams["brain"](run_opts=run_opts, checkpointer=None)
    brain.built = hparams
    return brain


def build_brain(folder, change=None, **settings):
    """Builds the Brain; `change` gets the parts and may change them."""
    parts = split(settings.get("system", "dann"))
    if change:
        change(parts)
    brain = build_bare(folder, **settings)
    brain.compute_features = lambda parts: None
    brain.readers = [features_of, features_of]
    brain.set_parts(parts)
    return brain


def begin(brain, epoch=1):
    """Starts an epoch; returns its batches."""
    brain.epochs = brain.built["number_of_epochs"]
    brain.init_optimizers()
    brain.modules.train()
    loader = brain.make_dataloader(brain.train_set, TRAIN)
    brain.train_sampler.set_epoch(epoch)
    brain.on_stage_start(TRAIN, epoch)
    return list(loader)


def fit(brain):
    """Trains to the end; returns the weights, name to tensor."""
    brain.fit(
        brain.built["epoch_counter"],
        brain.train_set,
        brain.datasets.get("valid"),
    )
    return {
        f"{name}.{key}": value.clone()
        for name in MODULES
        for key, value in brain.built["modules"][name].state_dict().items()
    }


def array(tensor):
    """As NumPy, float64."""
    return tensor.detach().double().numpy()


def labels_of(batch):
    """The classes of a batch's source."""
    index = {
        f"train/{key}": i % 3 == 0 for i, key in enumerate(corpus("s", 20))
    }
    return [int(index[key]) for key in batch.id if key in index]


def stir(brain):
    """Weights that are not those of the beginning: gain, bias, large ones."""
    torch.manual_seed(9)
    with torch.no_grad():
        for name in MODULES:
            for p in brain.modules[name].parameters():
                p.add_(0.3 * torch.randn_like(p))


def read(brain, entry):
    """What the Brain's datasets give of an entry."""
    return brain.readers[entry["domain"]](entry)
