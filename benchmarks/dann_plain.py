"""The paper's DANN in plain PyTorch, the peer of dann_step.py."""

import statistics

import torch
import torch.nn.functional as F


class Reversal(torch.autograd.Function):
    """Identity whose gradient is multiplied by -beta (Eq. 3 and 4)."""

    @staticmethod
    def forward(ctx, inputs, beta):
        """Eq. 3."""
        ctx.beta = beta
        return inputs.view_as(inputs)

    @staticmethod
    def backward(ctx, gradient):
        """Eq. 4."""
        return -ctx.beta * gradient, None


class PlainModel(torch.nn.Module):
    """The paper's model, with bn1 or none.

    Arguments
    ---------
    hparams : dict
        The recipe's.
    """

    def __init__(self, hparams):
        super().__init__()
        filters, pool = hparams["n_filters"], hparams["pool_size"]
        self.conv = torch.nn.Conv1d(
            hparams["n_mels"],
            filters,
            hparams["kernel_size"],
            hparams["stride"],
        )
        self.pool = torch.nn.MaxPool1d(pool)
        self.query = torch.nn.Parameter(torch.randn(filters))
        empty = torch.zeros(1, hparams["n_mels"], hparams["n_frames"])
        dim = filters * (self.pool(self.conv(empty)).shape[2] + 1)
        self.norm = torch.nn.Identity()
        if hparams["batch_norm"] == "bn1":
            self.norm = torch.nn.BatchNorm1d(
                dim, momentum=hparams["bn_momentum"]
            )
        self.dropout = torch.nn.Dropout(hparams["dropout"])
        self.emotion = torch.nn.Linear(dim, hparams["n_classes"])
        self.language = None
        if hparams["system"] == "dann":
            self.language = torch.nn.Linear(dim, 2)
        self.beta = hparams["beta"]

    def forward(self, features, n):
        """Classifies emotions of the first n, the source, and all languages.

        Arguments
        ---------
        features : torch.Tensor
            ``[batch, n_mels, n_frames]``.
        n : int

        Returns
        -------
        emotions : torch.Tensor
            Logits ``[n, classes]``.
        languages : torch.Tensor or None
            Logits ``[batch, 2]``.
        """
        pooled = self.pool(F.relu(self.conv(features)))
        weights = (self.query @ pooled).softmax(dim=1)
        attentive = pooled @ weights.unsqueeze(2)
        frames = torch.cat([pooled, attentive], dim=2)
        # in order of time
        vectors = frames.transpose(1, 2).flatten(1)
        vectors = self.dropout(self.norm(vectors))
        languages = None
        if self.language is not None:
            languages = self.language(Reversal.apply(vectors, self.beta))
        return self.emotion(vectors[:n]), languages


def plain_loss(model, features, labels, hparams):
    """Computes Eq. 7 and the penalty, l1 as for RECOLA.

    Arguments
    ---------
    model : PlainModel
    features : torch.Tensor
        Of the source, then of the target, ``[batch, n_mels, n_frames]``.
    labels : torch.Tensor
        Of the source, ``[n]``.
    hparams : dict

    Returns
    -------
    torch.Tensor
        A scalar.
    """
    n = len(labels)
    emotions, languages = model(features, n)
    loss = hparams["alpha"] * F.cross_entropy(emotions, labels)
    weights = [model.conv.weight, model.emotion.weight]
    if languages is not None:
        domains = torch.ones(len(features), dtype=torch.long)
        domains[:n] = 0
        loss = loss + (1 - hparams["alpha"]) * F.cross_entropy(
            languages, domains
        )
        weights.append(model.language.weight)
    penalty = sum(weight.abs().sum() for weight in weights)
    return loss + hparams["penalty_weight"] * penalty


def plain_fit(model, features, labels, hparams, epochs):
    """Trains as one would write it without SpeechBrain.

    Arguments
    ---------
    model : PlainModel
    features : torch.Tensor
        Of the source, then of the target, ``[n + m, n_mels, n_frames]``.
    labels : torch.Tensor
        Of the source, ``[n]``.
    hparams : dict
    epochs : int

    Returns
    -------
    float
        Mean loss of the last epoch.
    """
    n, m = len(labels), len(features) - len(labels)
    size = hparams["batch_size"]
    optimizer = torch.optim.Adam(
        model.parameters(), lr=hparams["lr"], fused=True
    )
    model.train()
    for epoch in range(epochs):
        rate = hparams["lr"] * hparams["lr_decay"] ** epoch
        for group in optimizer.param_groups:
            group["lr"] = max(rate, hparams["lowest_lr"])
        sources, losses = torch.randperm(n), []
        if m:
            targets = [n + torch.randperm(m) for _ in range(-(-n // m))]
            targets = torch.cat(targets)
        for start in range(0, n, size):
            index = chosen = sources[start : start + size]
            if m:
                other = targets[start : start + len(chosen)]
                index = torch.cat([chosen, other])
            loss = plain_loss(model, features[index], labels[chosen], hparams)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return statistics.mean(losses)
