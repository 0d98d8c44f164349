"""From a Brain to its predictions: utterance by utterance, of any epoch."""

import torch
from tqdm.contrib import tqdm

import speechbrain as sb
from speechbrain.utils.distributed import if_main_process
from speechbrain_ser.scores import classification_metrics
from speechbrain_ser.utils.errors import InputError


class Predictor:
    """What a Brain needs to predict; a part of `brain.SERBrain`."""

    def outputs(self, predictions):
        """Returns what is kept of each utterance: name to tensor, batch first."""
        return {
            "posterior": torch.softmax(predictions["logits"].float(), dim=-1),
            "embedding": predictions["embeddings"].float(),
        }

    @torch.no_grad()
    def evaluate_batch(self, batch, stage):
        """Evaluates one batch and collects its outputs by id."""
        with self.evaluation_ctx:
            predictions = self.compute_forward(batch, stage)
            loss = self.compute_objectives(predictions, batch, stage)
        loss = loss.detach().cpu()
        outputs = {k: v.cpu() for k, v in self.outputs(predictions).items()}
        self.check_outputs(
            batch.id, outputs, loss if stage == sb.Stage.VALID else None
        )
        for i, key in enumerate(batch.id):
            self.collected[key] = {k: v[i] for k, v in outputs.items()}
        return loss

    def merged(self, dataset):
        """Returns what was collected, the pieces of an utterance averaged.

        Returns
        -------
        dict
            Utterance to its outputs and its ``entry``; a piece weighs by its
            duration.
        """
        pieces = {}
        for key in dataset.data_ids:
            entry = dataset.data[key]["entry"]
            if key in self.collected:
                name = entry.get("utterance", key)
                pieces.setdefault(name, []).append((entry, self.collected[key]))
        merged = {}
        for name, parts in pieces.items():
            weight = torch.tensor([entry["duration"] for entry, _ in parts])
            weight = weight / weight.sum()
            merged[name] = {
                k: sum(w * out[k] for w, (_, out) in zip(weight, parts))
                for k in parts[0][1]
            } | {"entry": parts[0][0]}
        return merged

    def predict(self, dataset):
        """Runs the model over a dataset in eval mode.

        Arguments
        ---------
        dataset : DynamicItemDataset
            Its labels may be hidden.

        Returns
        -------
        dict
            Utterance to its outputs and its ``entry``.
        """
        loader = self.make_dataloader(dataset, sb.Stage.TEST, ckpt_prefix=None)
        self.modules.eval()
        self.collected = {}
        show = if_main_process() and not self.noprogressbar
        for step, batch in enumerate(
            tqdm(loader, dynamic_ncols=True, disable=not show, leave=False), 1
        ):
            self.evaluate_batch(batch, sb.Stage.TEST)
            if self.debug and step == self.debug_batches:
                break
        return self.merged(dataset)

    def labelled(self, predictions):
        """Returns label, prediction and speaker of what has a label.

        Returns
        -------
        list of tuple
            One an utterance; the speaker may be None.
        """
        return [
            (
                p["entry"]["emotion"],
                self.labels[int(p["posterior"].argmax())],
                p["entry"].get("speaker"),
            )
            for p in predictions.values()
            if p["entry"].get("emotion") is not None
        ]

    def score(self, predictions):
        """Computes the metrics of the utterances that have a label, or None."""
        held = self.labelled(predictions)
        if not held:
            return None
        labels, guesses, _ = zip(*held)
        return classification_metrics(labels, guesses, self.labels)

    def load_selected(self):
        """Loads the selected epoch's weights; the history stays whole.

        Returns
        -------
        int or None
            The epoch; None without a checkpointer.

        Raises
        ------
        InputError
            If there is no checkpoint.
        """
        if self.checkpointer is None:
            return None
        if not self.history.rows:
            self.checkpointer.recover_if_possible()
        history = dict(vars(self.history))
        found = None
        if self.model_selection == "best":
            found = self.checkpointer.find_checkpoint(max_key="UA")
        found = found or self.checkpointer.find_checkpoint()
        if found is None:
            raise InputError(
                f"{self.checkpointer.checkpoints_dir} has no checkpoint, so "
                "nothing was trained: train first"
            )
        self.checkpointer.load_checkpoint(found)
        vars(self.history).update(history)
        return found.meta.get("epoch")
