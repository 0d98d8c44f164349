"""MEnAN's Brain as its recipe builds it, of features without audio."""

import copy

import numpy as np
import torch

import speechbrain as sb
from speechbrain_ser.experiment.hparams import load, with_overrides
from tests.recipes.helpers import MENAN

HPARAMS = str(MENAN.parent / "hparams" / "menan.yaml")
LABELS = ["ang", "hap", "neu", "sad"]
TRAIN, VALID = sb.Stage.TRAIN, sb.Stage.VALID
MODULES = ("encoder", "classifier", "speaker_classifier")
# 40 frames of 8 numbers: 16 after the first convolution, 6 after the second
SMALL = {
    "seed": 3,
    "system": "menan",
    "n_speakers": 5,
    "n_mels": 5,
    "duration": 0.39,
    "channels": 4,
    "hidden_sizes": [6, 5],
    "batch_size": 6,
    "eval_batch_size": 7,
    "number_of_epochs": 2,
    "last_epochs": 0,
    "model_selection": "last",
    "compared_folder": None,
    "speeds": [],
    "emotion_weight": 0.9,
    "lr_speaker": 0.003,
    "speaker_steps": 3,
    "speaker_memory": 10,
    "speaker_batch_size": 8,
    "speaker_noise": 0.5,
}
# as the paper is printed
PRINTED = {
    "speaker_steps": 1,
    "speaker_memory": 0,
    "standardise": False,
    "speaker_noise": 0,
    "ramp": False,
    "emotion_weight": 0.5,
    "lr_speaker": 0.001,
}


def corpus(speakers, n):
    """Utterances without audio, of speakers and emotions in turn."""
    return {
        f"{speakers[0]}{i:02}": {
            "wav": f"{ord(speakers[0]) * 100 + i}",
            "duration": 1.0,
            "emotion": LABELS[(i // 2 + i) % 4],
            "speaker": speakers[i % len(speakers)],
        }
        for i in range(n)
    }


TRAINING = corpus("ABCDE", 20)


def features_of(entry, n_frames=40, dim=8):
    """Random frames, always the same."""
    generator = torch.Generator().manual_seed(int(entry["wav"]))
    return torch.randn(n_frames, dim, generator=generator)


def build_bare(folder, run_opts=None, **settings):
    """Builds the Brain without parts; ``built`` holds its hparams.

    Arguments
    ---------
    folder : pathlib.Path
    run_opts : dict, optional
        Besides those that every test has.
    **settings : dict
        Besides `SMALL`.
    """
    settings = SMALL | {"output_folder": str(folder)} | settings
    hparams = load(HPARAMS, with_overrides("", **settings))
    run_opts = {"device": "cpu", "noprogressbar": True} | (run_opts or {})
    run_opts = sb.core.RunOptions.from_dictionary(run_opts)
    brain = hparams["brain"](run_opts=run_opts, checkpointer=None)
    brain.built = hparams
    return brain


def build_brain(folder, read=features_of, **settings):
    """Builds the Brain and its datasets; `read` gives an entry's features."""
    brain = build_bare(folder, **settings)
    brain.compute_features = lambda parts: None
    brain.reader = read
    brain.set_parts(
        {"train": TRAINING, "valid": corpus("V", 7), "test": corpus("T", 9)}
    )
    return brain


def begin(brain, epoch=1):
    """Starts an epoch; returns its batches."""
    brain.epochs = brain.built["number_of_epochs"]
    brain.init_optimizers()
    brain.modules.train()
    loader = brain.make_dataloader(brain.train_set, TRAIN)
    brain.train_sampler.set_epoch(epoch)
    brain.on_stage_start(TRAIN, epoch)
    brain.step = 1
    return list(loader)


def fit(brain):
    """Trains to the end; returns the weights, name to tensor."""
    brain.fit(
        brain.built["epoch_counter"],
        brain.train_set,
        brain.datasets["valid"],
    )
    return state(brain)


def state(brain):
    """Copies all weights, name to tensor."""
    return {
        f"{name}.{key}": value.clone()
        for name in MODULES
        for key, value in brain.modules[name].state_dict().items()
    }


def changed(before, after):
    """The modules of which a number differs, and those of which all do."""
    moved = {
        name: not torch.equal(value, after[name])
        for name, value in before.items()
    }
    some = {name.split(".")[0] for name, own in moved.items() if own}
    whole = some - {name.split(".")[0] for name in before if not moved[name]}
    return some, whole


def array(tensor):
    """As NumPy, float64."""
    return tensor.detach().double().numpy()


def true_classes(batch):
    """Emotions and speakers of a batch, from the annotation."""
    held = [TRAINING[key] for key in batch.id]
    return (
        [LABELS.index(entry["emotion"]) for entry in held],
        ["ABCDE".index(entry["speaker"]) for entry in held],
    )


def stir(brain):
    """Weights that are far from those of the beginning."""
    torch.manual_seed(9)
    with torch.no_grad():
        for name in MODULES:
            for p in brain.modules[name].parameters():
                p.add_(0.3 * torch.randn_like(p))


def doubled(brain):
    """Copies of the modules in float64."""
    return {n: copy.deepcopy(brain.modules[n]).double() for n in MODULES}


def watch_steps(brain):
    """Keeps gradients and weights of each optimizer step, before and after."""
    steps, original = [], brain.optimizers_step

    def step():
        """Stands in for the Brain's."""
        gradients = {
            f"{name}.{key}": None if p.grad is None else array(p.grad)
            for name in MODULES
            for key, p in brain.modules[name].named_parameters()
        }
        before = state(brain)
        modules = doubled(brain)
        for module in modules.values():
            module.zero_grad()
        original()
        steps.append((gradients, modules, before, state(brain)))

    brain.optimizers_step = step
    return steps


def own_gradients(modules, loss):
    """The gradients of a loss of `doubled` modules, name to array."""
    names, parameters = zip(
        *(
            (f"{name}.{key}", p)
            for name in MODULES
            for key, p in modules[name].named_parameters()
        )
    )
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {
        name: None if gradient is None else array(gradient)
        for name, gradient in zip(names, found)
    }


def check_gradients(found, expected, modules):
    """Of every parameter of some modules, within float32; of others none."""
    for name, gradient in found.items():
        if name.split(".")[0] not in modules:
            assert gradient is None or not gradient.any(), name
            continue
        scale = np.abs(expected[name]).max()
        assert scale > 0, name
        np.testing.assert_allclose(
            gradient, expected[name], atol=1e-4 * scale + 1e-7, err_msg=name
        )


def log_p(logits):
    """Logarithms of the softmax, the long way."""
    exponents = (logits - logits.amax(dim=1, keepdim=True)).exp()
    return (exponents / exponents.sum(dim=1, keepdim=True)).log()


def nll(logits, classes):
    """Eq. 1 and 4, their mean."""
    return -log_p(logits)[range(len(classes)), list(classes)].mean()


def mean_entropy(logits):
    """Eq. 2, its mean."""
    return -(log_p(logits).exp() * log_p(logits)).sum(dim=1).mean()


def encoded(encoder, features):
    """ENC in float64, with pooling by hand: ours computes in float32."""
    frames = features.double().transpose(1, 2)
    for conv, activation in zip(encoder.convs, encoder.activations):
        frames = activation(conv(frames))
    frames = encoder.gru(frames.transpose(1, 2))[0]
    frames = encoder.activation(encoder.linear(frames))
    mean = frames.mean(dim=1, keepdim=True)
    spread = ((frames - mean) ** 2).mean(dim=1) + 1e-5
    pooled = [mean.squeeze(1), spread.sqrt(), frames.max(dim=1).values]
    return torch.cat(pooled, dim=1)


def normal(embeddings):
    """Zero mean and unit variance, by float64 sums."""
    rows = embeddings.double()
    mean = sum(rows) / len(rows)
    variance = sum((row - mean) ** 2 for row in rows) / len(rows)
    return ((rows - mean) / (variance + 1e-5).sqrt()).to(embeddings.dtype)
