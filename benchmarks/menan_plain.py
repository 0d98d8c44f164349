"""MEnAN as one would write it without SpeechBrain: what menan_step.py runs."""

import torch
import torch.nn.functional as F
from dann_plain import Reversal


def linear_layers(sizes):
    """Makes linear layers with PReLU between them."""
    layers = []
    for before, after in zip(sizes, sizes[1:]):
        layers += [torch.nn.Linear(before, after), torch.nn.PReLU()]
    return torch.nn.Sequential(*layers[:-1])


class PlainModel(torch.nn.Module):
    """Table 1 of the paper.

    Arguments
    ---------
    hparams : dict
        The recipe's.
    n_features : int
    """

    def __init__(self, hparams, n_features):
        super().__init__()
        channels, stride = hparams["channels"], hparams["stride"]
        first, second = hparams["kernel_sizes"]
        self.convs = torch.nn.Sequential(
            torch.nn.Conv1d(n_features, channels, first, stride),
            torch.nn.PReLU(),
            torch.nn.Conv1d(channels, channels, second, stride),
            torch.nn.PReLU(),
        )
        self.gru = torch.nn.GRU(channels, channels, batch_first=True)
        self.last = torch.nn.Sequential(
            torch.nn.Linear(channels, channels), torch.nn.PReLU()
        )
        sizes = [3 * channels, *hparams["hidden_sizes"]]
        self.emotion = linear_layers([*sizes, hparams["n_classes"]])
        self.speaker = linear_layers([*sizes, hparams["n_speakers"]])

    def encode(self, features):
        """Returns v = enc(x), ``[batch, 3 channels]``."""
        frames = self.convs(features.transpose(1, 2))
        frames = self.last(self.gru(frames.transpose(1, 2))[0])
        variance = frames.var(dim=1, unbiased=False)
        # with what keeps the recipe's gradient finite
        std = (variance + 1e-5).sqrt()
        return torch.cat([frames.mean(dim=1), std, frames.amax(dim=1)], dim=1)


def seen(embeddings, hparams):
    """Returns embeddings as SC of ``menan`` sees them."""
    if not hparams["standardise"]:
        return embeddings
    mean = embeddings.mean(dim=0)
    variance = embeddings.var(dim=0, unbiased=False)
    return (embeddings - mean) / (variance + 1e-5).sqrt()


def plain_loss(model, embeddings, labels, speakers, hparams, progress):
    """Computes what the encoder learns, Eq. 5 for ``menan``.

    Arguments
    ---------
    model : PlainModel
    embeddings : torch.Tensor
        v, ``[batch, D]``.
    labels, speakers : torch.Tensor
        Indices, ``[batch]``.
    hparams : dict
    progress : float
        The share of the training that is over.

    Returns
    -------
    torch.Tensor
        A scalar.
    """
    loss = F.cross_entropy(model.emotion(embeddings), labels)
    system, weight = hparams["system"], hparams["emotion_weight"]
    if system == "emotion_only":
        return loss
    if system == "menan":
        if hparams["ramp"]:
            rise = 2 / (1 + torch.tensor(-10 * progress).exp()) - 1
            weight = 1 - (1 - weight) * float(rise)
        logs = model.speaker(seen(embeddings, hparams)).log_softmax(dim=1)
        other = (logs.exp() * logs).sum(dim=1).mean()
    else:
        if system == "dat":
            scale = hparams["reversal_scale"]
            embeddings = Reversal.apply(embeddings, scale)
        other = F.cross_entropy(model.speaker(embeddings), speakers)
    return weight * loss + (1 - weight) * other


def speaker_step(model, embeddings, speakers, hparams):
    """Computes Eq. 1 and its gradients; the encoder gets none."""
    vectors = seen(embeddings.detach(), hparams)
    vectors = vectors + hparams["speaker_noise"] * torch.randn_like(vectors)
    loss = F.cross_entropy(model.speaker(vectors), speakers)
    loss.backward()
    return loss


def collect(training):
    """Returns all that the peer trains on, as three tensors."""
    first = training[0]["sig"]
    features = torch.empty(len(training), *first.shape)
    others = []
    for row, item in zip(features, training):
        row.copy_(item["sig"])
        others.append((item["label"], item["speaker"]))
    labels, speakers = torch.tensor(others).T
    return {"features": features, "labels": labels, "speakers": speakers}


def plain_fit(model, data, hparams, two_passes=False):
    """Trains an epoch as one would write it without SpeechBrain.

    Arguments
    ---------
    model : PlainModel
    data : dict
        ``features``, ``labels`` and ``speakers`` of all utterances.
    hparams : dict
    two_passes : bool
        Whether the batch is encoded once for each of the two steps.
    """
    steps = SpeakerSteps(model, hparams)
    theirs = {id(weight) for weight in model.speaker.parameters()}
    rest = [w for w in model.parameters() if id(w) not in theirs]
    for_rest = torch.optim.Adam(rest, lr=hparams["lr"], fused=True)
    in_two_steps = hparams["system"] == "menan"
    order = torch.randperm(len(data["labels"]))
    batches = order.split(hparams["batch_size"])
    losses = []
    for step, chosen in enumerate(batches):
        features = data["features"][chosen]
        labels, speakers = data["labels"][chosen], data["speakers"][chosen]
        with torch.set_grad_enabled(not (in_two_steps and two_passes)):
            vectors = model.encode(features)
        if in_two_steps:
            steps.take(vectors, speakers)
            if two_passes:
                vectors = model.encode(features)
        loss = plain_loss(
            model, vectors, labels, speakers, hparams, step / len(batches)
        )
        for_rest.zero_grad()
        steps.adam.zero_grad()
        loss.backward()
        for_rest.step()
        if hparams["system"] in ("multitask", "dat"):
            steps.adam.step()
        losses.append(loss.item())


class SpeakerSteps:
    """Step 1 of ``menan``: SC learns on the last embeddings.

    Arguments
    ---------
    model : PlainModel
    hparams : dict
    """

    def __init__(self, model, hparams):
        self.model, self.hparams = model, hparams
        self.adam = torch.optim.Adam(
            model.speaker.parameters(), lr=hparams["lr_speaker"], fused=True
        )
        self.held = torch.empty(0)
        self.said = torch.empty(0, dtype=torch.long)

    def take(self, vectors, speakers):
        """Takes the steps of one batch."""
        size = self.hparams["speaker_memory"]
        if size:
            self.held = torch.cat([self.held, vectors.detach()])[-size:]
            self.said = torch.cat([self.said, speakers])[-size:]
        for _ in range(self.hparams["speaker_steps"]):
            drawn = vectors, speakers
            if size:
                draw = (self.hparams["speaker_batch_size"],)
                index = torch.randint(len(self.said), draw)
                drawn = self.held[index], self.said[index]
            self.adam.zero_grad()
            speaker_step(self.model, *drawn, self.hparams)
            self.adam.step()
