"""Copies made with the batch: by seed, epoch and ids alone, in any process."""

import random

import pytest
import torch

from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain_ser.data.augmentation import augment_copies
from speechbrain_ser.data.augmented_copies import drawn_by
from speechbrain_ser.data.batch_copies import BatchCopies
from speechbrain_ser.data.dataset import UNLABELLED
from speechbrain_ser.data.length_grid import GridBatch
from tests.data.test_augmentation import make_augmenter


def make_examples(lengths=(3000, 2500, 2801, 2000)):
    """The second and the third are unlabelled."""
    generator = torch.Generator().manual_seed(1)
    labels = (2, UNLABELLED, UNLABELLED, 0)
    return [
        {
            "id": f"u{i}",
            "sig": torch.randn(n, generator=generator),
            "label": label,
        }
        for i, (n, label) in enumerate(zip(lengths, labels))
    ]


def test_copies_are_those_of_the_unlabelled():
    """Padded to the longest of them; who is labelled has a stand-in."""
    examples = make_examples()
    make = BatchCopies(make_augmenter(), seed=3)
    make.epoch = 5
    batch = make(examples)
    assert "copy" not in examples[0]
    wavs = torch.zeros(2, 2801)
    wavs[0, :2500], wavs[1] = examples[1]["sig"], examples[2]["sig"]
    with drawn_by("3 5 ['u1', 'u2']"):
        expected = augment_copies(
            make_augmenter(), wavs, torch.tensor([2500 / 2801, 1.0])
        )
    assert batch.copy.data[1:3].equal(expected)
    counts = (batch.copy.lengths * 2801).round()
    assert counts.tolist() == [1, 2500, 2801, 1]
    assert not batch.copy.data[1:3].equal(wavs)
    assert batch.sig.data[1, :2500].equal(examples[1]["sig"])


def test_no_copies_without_an_epoch_or_an_unlabelled():
    """Of a warm-up there is no such key; of D1 alone stand-ins."""
    make = BatchCopies(make_augmenter())
    assert not hasattr(make(make_examples()), "copy")
    make.epoch = 1
    batch = make([make_examples()[0], make_examples()[3]])
    assert batch.copy.data.shape == (2, 1)


def test_what_they_are_drawn_by():
    """Seed, epoch and ids; not what was drawn before, nor after."""
    found = {}
    for seed, epoch, name in (
        (1, 1, "u"),
        (2, 1, "u"),
        (1, 2, "u"),
        (1, 1, "v"),
    ):
        make = BatchCopies(make_augmenter(), seed)
        make.epoch = epoch
        examples = make_examples()
        examples[1]["id"] = name
        torch.manual_seed(9)
        random.seed(9)
        expected = torch.rand(3), random.random()
        for _ in range(2):
            torch.manual_seed(9)
            random.seed(9)
            batch = make(examples)
            assert torch.rand(3).equal(expected[0])
            assert random.random() == expected[1]
            found.setdefault((seed, epoch, name), []).append(batch.copy.data)
    for first, second in found.values():
        assert first.equal(second)
    firsts = [first for first, _ in found.values()]
    assert all(not a.equal(firsts[0]) for a in firsts[1:])


def test_batches_of_a_grid_keep_theirs():
    """The collating function of the epoch is used."""
    make = BatchCopies(make_augmenter(), collate=GridBatch(1000))
    make.epoch = 1
    batch = make(make_examples((3001, 2500, 2801, 2000)))
    assert batch.sig.data.shape == (4, 4000)
    assert batch.copy.data.shape == (4, 2801)


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_no_bit(workers):
    """Each epoch has other copies, whoever makes them."""
    data = {
        f"{turn}-{e['id']}": {"sig": e["sig"], "label": e["label"]}
        for turn in range(3)
        for e in make_examples()
    }
    dataset = DynamicItemDataset(data, output_keys=["id", "sig", "label"])
    make = BatchCopies(make_augmenter(), seed=1)
    loaders = [
        make_dataloader(dataset, batch_size=4, num_workers=n, collate_fn=make)
        for n in (0, workers)
    ]
    epochs = []
    for make.epoch in (1, 2):
        here, there = ([b.copy.data for b in loader] for loader in loaders)
        assert len(here) == 3
        assert all(a.equal(b) for a, b in zip(here, there, strict=True))
        epochs.append(here)
    assert not epochs[0][0].equal(epochs[1][0])
    assert not epochs[0][0].equal(epochs[0][1])
