"""The first epochs of a fine-tuning against a bare transformers loop.

wav2vec 2.0 of base shape with random weights (or ``--small``), utterances of
noise with durations about as IEMOCAP's are (log-normal, mean 4.4 s, none above
15 s), batches of 8, bf16 on a GPU. Ours is IPR's ``baseline`` as its recipe
builds it, with its grid of lengths and without cuDNN's attention, its loader
included, which reads segments of one file. The peer has random batches from
memory, the same model (no layer is dropped, no frame masked, padding is
masked), loss, clipping and optimizer, and PyTorch's own choice of attention.

Each side has two steps of one length before its first epoch. Over all of our
steps the norm of the gradients is kept, and how many of them are no numbers.

> python benchmarks/gpu_epoch.py --device cuda
"""

import argparse
import os
import tempfile

import numpy as np
import soundfile
import torch
from ipr_step import FOLDER, SMALL, now, save_wav2vec2
from rows import add_rows_option, row, write_rows

import speechbrain as sb
from speechbrain_ser.experiment import hparams as recipe
from speechbrain_ser.utils.waiting import choose_attention

RATE = 16000
GOALS = {"first": 3.0, "steady": 2.0}
# Command lines of the tests, each a trial of a second.
SMOKE = (
    "--small --utterances 8 --batch_size 4 --epochs 2 --longest 0.8 "
    "--num_workers 0",
)


def durations_of(n, longest):
    """Draws durations about as IEMOCAP's are, in samples."""
    drawn = np.random.default_rng(0).lognormal(1.3, 0.64, n)
    return (RATE * drawn.clip(0.6, longest)).astype(int)


def make_parts(lengths, words, folder):
    """Makes a train part of segments of one file of noise.

    Arguments
    ---------
    lengths : np.ndarray
        In samples.
    words : list of str
    folder : str

    Returns
    -------
    dict
    """
    path = os.path.join(folder, "noise.wav")
    noise = np.random.default_rng(1).normal(0, 0.1, 2 * int(lengths.max()))
    soundfile.write(path, noise, RATE)
    starts = np.random.default_rng(2).integers(int(lengths.max()), size=10**4)
    return {
        "train": {
            f"u{i}": {
                "wav": path,
                "start": int(starts[i]),
                "stop": int(starts[i] + n),
                "duration": n / RATE,
                "emotion": words[i % len(words)],
            }
            for i, n in enumerate(lengths.tolist())
        }
    }


def make_brain(arguments, lengths, folder):
    """Makes IPR's baseline as its recipe does, with its parts."""
    model = os.path.join(folder, "model")
    save_wav2vec2(model, **(SMALL if arguments.small else {}))
    settings = {
        "system": "baseline",
        "ssl_source": model,
        "output_folder": folder,
        "batch_size": arguments.batch_size,
        "model_selection": "last",
        "agreement_curve": False,
        "num_workers": arguments.num_workers,
    }
    if arguments.small:
        settings["embedding_dim"] = SMALL["hidden_size"]
    hparams = recipe.load(
        FOLDER / "hparams" / "ipr.yaml", recipe.with_overrides("", **settings)
    )
    run_opts = {"device": arguments.device, "noprogressbar": True}
    if arguments.device.startswith("cuda"):
        run_opts["precision"] = "bf16"
    run_opts = sb.core.RunOptions.from_dictionary(run_opts)
    brain = hparams["brain"](run_opts=run_opts, checkpointer=None)
    brain.set_parts(make_parts(lengths, hparams["labels"], folder))
    return brain, hparams, model


def ours(arguments, lengths, folder):
    """Trains our epochs.

    Returns
    -------
    seconds : list of float
    shapes : int
        Lengths that occurred.
    norms : list of float
        Of the gradients, of every step.
    hparams : dict
    model : str
        The folder of the untrained one.
    """
    choose_attention()
    brain, hparams, model = make_brain(arguments, lengths, folder)
    loader = brain.make_dataloader(brain.train_set, sb.Stage.TRAIN)
    brain.epochs = arguments.epochs
    brain.on_fit_start()
    shapes, norms = set(), []
    clip, encode = torch.nn.utils.clip_grad_norm_, brain.modules.encoder.forward

    def clipped(*args, **kwargs):
        """Keeps the norm, on the device."""
        norms.append(clip(*args, **kwargs))
        return norms[-1]

    def encoded(wavs, *more):
        """Keeps the length."""
        shapes.add(wavs.shape[1])
        return encode(wavs, *more)

    def warm_up():
        """Two steps of a length that is not counted."""
        brain.on_stage_start(sb.Stage.TRAIN, 1)
        brain.modules.train()
        brain.nonfinite_count = 0
        first = [brain.train_set[i] for i in range(arguments.batch_size)]
        for item in first:
            item["sig"] = item["sig"][: RATE // 2]
        for brain.step in (1, 2):
            brain.fit_batch(sb.dataio.batch.PaddedBatch(first))
        brain.settle()
        brain.step, brain.avg_train_loss, brain.optimizer_step = 0, 0.0, 0

    warm_up()
    torch.nn.utils.clip_grad_norm_ = clipped
    brain.modules.encoder.forward = encoded
    seconds = []
    try:
        for epoch in range(1, arguments.epochs + 1):
            start = now(arguments.device)
            brain._fit_train(loader, epoch, enable=False)
            seconds.append(now(arguments.device) - start)
    finally:
        torch.nn.utils.clip_grad_norm_ = clip
    norms = torch.stack(norms).tolist()
    return seconds, len(shapes), norms, hparams, model


class Bare(torch.nn.Module):
    """transformers' model, mean over the valid frames, the recipe's MLP."""

    def __init__(self, folder, hidden, n_classes):
        super().__init__()
        import transformers

        self.model = transformers.Wav2Vec2Model.from_pretrained(
            folder, layerdrop=0.0, apply_spec_augment=False
        )
        self.model.freeze_feature_encoder()
        dim = self.model.config.hidden_size
        self.mlp = torch.nn.Sequential(
            torch.nn.Linear(dim, hidden),
            torch.nn.ReLU(),
            torch.nn.Linear(hidden, n_classes),
        )

    def forward(self, wavs, counts):
        """Returns logits."""
        places = torch.arange(wavs.shape[1], device=wavs.device)
        mask = (places < counts.unsqueeze(1)).long()
        frames = self.model(wavs, attention_mask=mask).last_hidden_state
        valid = self.model._get_feature_vector_attention_mask(
            frames.shape[1], mask
        ).unsqueeze(2)
        return self.mlp((frames * valid).sum(dim=1) / valid.sum(dim=1))


def bare(arguments, lengths, hparams, folder):
    """Trains the peer's epochs.

    Returns
    -------
    seconds : list of float
    shapes : int
        Lengths that occurred.
    """
    choose_attention(True)
    device = arguments.device
    model = Bare(folder, hparams["hidden_dim"], hparams["n_classes"])
    model.to(device).train()
    optimizer = hparams["opt_class"](
        [p for p in model.parameters() if p.requires_grad]
    )
    draw = np.random.default_rng(3)
    held = [torch.from_numpy(draw.normal(0, 0.1, n)).float() for n in lengths]
    labels = torch.arange(len(held)) % hparams["n_classes"]
    shapes = set()

    def step(wavs, targets):
        """Trains on one batch."""
        counts = torch.tensor([len(wav) for wav in wavs], device=device)
        wavs = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
        shapes.add(wavs.shape[1])
        kind = torch.device(device).type
        with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
            logits = model(wavs.to(device), counts)
        loss = torch.nn.functional.cross_entropy(
            logits.float(), targets.to(device)
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(
            model.parameters(), hparams["max_grad_norm"]
        )
        optimizer.step()
        optimizer.zero_grad()

    size = arguments.batch_size
    for _ in range(2):
        step([wav[: RATE // 2] for wav in held[:size]], labels[:size])
    shapes.clear()
    seconds = []
    for _ in range(arguments.epochs):
        start = now(device)
        order = draw.permutation(len(held))
        for i in range(0, len(order), size):
            chosen = order[i : i + size]
            step([held[j] for j in chosen], labels[chosen])
        seconds.append(now(device) - start)
    return seconds, len(shapes)


def report(arguments, mine, theirs, norms):
    """Prints both sides and their ratios.

    Arguments
    ---------
    arguments : argparse.Namespace
    mine, theirs : tuple
        Seconds of each epoch, and how many lengths occurred.
    norms : list of float

    Returns
    -------
    list of dict
        See `rows.row`.
    """
    epochs = range(1, arguments.epochs + 1)
    head = "".join(f"{f'epoch {i}':>10}" for i in epochs)
    print(f"{'seconds':10}{head}{'all':>10}{'lengths':>9}")
    for name, (seconds, shapes) in (("ours", mine), ("bare", theirs)):
        told = "".join(f"{x:10.2f}" for x in [*seconds, sum(seconds)])
        print(f"{name:10}{told}{shapes:9}")
    pairs = [*zip(mine[0], theirs[0]), (sum(mine[0]), sum(theirs[0]))]
    ratios = [b / a for a, b in pairs]
    print(f"{'ratio':10}" + "".join(f"{x:10.2f}" for x in ratios))
    broken = sum(not np.isfinite(norm) for norm in norms)
    print(
        f"gradients that are no numbers: {broken} of {len(norms)} steps\n"
        f"{ratios[-1]:.2f}x faster over the epochs, {ratios[-2]:.2f}x in the "
        f"last (goals on a GPU: {GOALS['first']:g}, {GOALS['steady']:g})"
    )
    name = f"{len(epochs)} epochs of {arguments.utterances} utterances"
    seen = [
        (name, sum(mine[0]), sum(theirs[0]), ratios[-1], GOALS["first"]),
        ("the last", mine[0][-1], theirs[0][-1], ratios[-2], GOALS["steady"]),
    ]
    on_gpu = arguments.device.startswith("cuda")
    found = [
        row(
            *("gpu_epoch", what, f"{a:.2f} s", f"{b:.2f} s", ratio),
            f"at least {goal:g}" if on_gpu else None,
        )
        for what, a, b, ratio, goal in seen
    ]
    share = broken / len(norms)
    return [
        *found,
        row(
            *("gpu_epoch", f"gradients that are none, {len(norms)} steps"),
            *(str(broken), "", share, "at most 0"),
        ),
    ]


def main(argv=None):
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--utterances", type=int, default=1600)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--longest", type=float, default=15.0, help="seconds")
    parser.add_argument("--num_workers", type=int, default=2)
    parser.add_argument("--small", action="store_true", help="a tiny model")
    parser.add_argument("--device", default="cpu")
    add_rows_option(parser)
    arguments = parser.parse_args(argv)
    lengths = durations_of(arguments.utterances, arguments.longest)
    before = torch.backends.cuda.cudnn_sdp_enabled()
    try:
        with tempfile.TemporaryDirectory() as folder:
            *mine, norms, hparams, model = ours(arguments, lengths, folder)
            theirs = bare(arguments, lengths, hparams, model)
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
    found = report(arguments, mine, theirs, norms)
    write_rows(arguments.rows, found, arguments.device)


if __name__ == "__main__":
    main()
