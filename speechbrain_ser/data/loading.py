"""From a dataset to the batches of a Brain: cut, collated, pinned."""

import torch

import speechbrain as sb
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.utils.logger import get_logger
from speechbrain_ser.data.batching import (
    LengthBatchSampler,
    PairedBatchSampler,
    padding_share,
)
from speechbrain_ser.data.dataset import entries
from speechbrain_ser.data.length_grid import GridBatch

logger = get_logger(__name__)


class Loading:
    """How a Brain makes batches; a part of `brain.SERBrain`."""

    def make_dataloader(
        self, dataset, stage, ckpt_prefix="dataloader-", **loader_kwargs
    ):
        """Makes batches; see SpeechBrain's method, and `make_sampler`.

        An entry takes part from its ``first_epoch`` on (all epochs if it has
        none). The loader has a generator of its own: making an iterator draws a
        number, which would shift all later draws of a run that goes on.
        """
        training = stage == sb.Stage.TRAIN
        sampler = self.make_sampler(entries(dataset), training)
        loader_kwargs = {
            "collate_fn": self.make_collate(training)
        } | loader_kwargs
        loader = make_dataloader(
            dataset,
            batch_sampler=sampler,
            num_workers=self.num_workers,
            generator=torch.Generator(),
            **{"pin_memory": self.device_type == "cuda"} | loader_kwargs,
        )
        if training:
            self.train_sampler = sampler
            if self.checkpointer is not None and ckpt_prefix is not None:
                self.checkpointer.add_recoverable(
                    ckpt_prefix + stage.name, loader
                )
        return loader

    def make_collate(self, training):
        """Returns what makes a batch of examples."""
        if training and self.grid():
            return GridBatch(round(self.grid() * self.sample_rate))
        return PaddedBatch

    def grid(self):
        """Returns the `length_grid` of waveforms, None of anything else."""
        return self.length_grid if self.reads_waveforms() else None

    def reads_waveforms(self):
        """Whether batches hold waveforms; overridden by methods."""
        return True

    def make_sampler(self, held, training):
        """Makes what cuts a dataset into batches, here those of like length.

        Arguments
        ---------
        held : list of dict
            The entries of the dataset.
        training : bool

        Returns
        -------
        torch.utils.data.Sampler
            Of lists of indices.
        """
        sampler = LengthBatchSampler(
            [entry["duration"] for entry in held],
            self.batch_size if training else self.eval_batch_size,
            seed=self.seed,
            first_epochs=[entry.get("first_epoch", 1) for entry in held],
            shuffle=training,
            length_grid=self.grid(),
            accumulation=self.grad_accumulation_factor,
        )
        if training:
            share = padding_share(
                sampler.durations, sampler.batches(), self.grid()
            )
            logger.info(
                f"{len(sampler)} batches an epoch, {100 * share:.1f} % padding"
            )
        else:
            sampler.set_epoch(float("inf"))
        return sampler

    def random_batches(self, n_source, n_target=0):
        """Makes training batches in random order; see `PairedBatchSampler`."""
        return PairedBatchSampler(
            n_source,
            n_target,
            self.batch_size,
            self.seed,
            self.grad_accumulation_factor,
        )
