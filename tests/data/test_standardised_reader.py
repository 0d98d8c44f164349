"""Whose statistics standardise whom: nothing of who is tested, but where asked."""

import pytest
import torch

from speechbrain_ser.data.kept_frames import KeptFrames
from speechbrain_ser.data.parts import Parts
from speechbrain_ser.data.standardised_reader import StandardisedReader
from speechbrain_ser.lobes.features import Standardisation
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.utils.audio import place
from speechbrain_ser.utils.errors import InputError

DIM = 3
WHO = {"train": "ABA", "unlabelled": "BB", "valid": "C", "test": "DDD"}


@pytest.fixture
def parts():
    """Speakers A and B train, C validates, D tests; C and D were enrolled."""
    who = WHO | {"enrolment": "CDD"}
    return {
        part: {
            f"{part}{i}": {"wav": f"{part}{i}", "speaker": speaker}
            for i, speaker in enumerate(speakers)
        }
        for part, speakers in who.items()
    }


def reader(parts, by):
    """A reader that holds random frames of all of them, fitted."""
    read = StandardisedReader(Standardisation(DIM), by=by)
    generator = torch.Generator().manual_seed(0)
    for part in parts.values():
        for entry in part.values():
            n = int(torch.randint(2, 9, (1,), generator=generator))
            frames = 5 + 3 * torch.randn(n, DIM, generator=generator)
            read.held[place(entry)] = frames.half()
    read.fit(parts)
    return read


def by_hand(read, entry, sources):
    """The same from the frames of some entries, in double precision."""
    frames = torch.cat([read.held[place(e)] for e in sources]).double()
    mean, std = frames.mean(dim=0), frames.std(dim=0, unbiased=False)
    return ((read.held[place(entry)].double() - mean) / std).float()


def spoken(parts, who, names):
    """The entries of a speaker in some parts."""
    every = [e for name in names for e in parts[name].values()]
    return [entry for entry in every if entry["speaker"] == who]


def check(read, parts, part, sources_of):
    """All of a part is standardised by the entries that are named."""
    for entry in parts[part].values():
        expected = by_hand(read, entry, sources_of(entry["speaker"]))
        torch.testing.assert_close(read(entry), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("part", WHO)
def test_over_the_train_part(part, parts):
    """Everybody by what trains with a label, frame by frame."""
    read = reader(parts, "train")
    check(read, parts, part, lambda who: list(parts["train"].values()))


@pytest.mark.parametrize("part", WHO)
def test_each_speaker_on_himself(part, parts):
    """By all that he says in any part."""
    read = reader(parts, "speaker")
    check(read, parts, part, lambda who: spoken(parts, who, parts))


@pytest.mark.parametrize("part", WHO)
def test_by_enrolment(part, parts):
    """Who trains by all of his training, others by their enrolment alone."""
    read = reader(parts, "enrolment")
    names = ["train", "unlabelled", "enrolment"]
    check(read, parts, part, lambda who: spoken(parts, who, names))


@pytest.mark.parametrize("by", ["train", "enrolment"])
def test_what_is_tested_moves_no_statistics(by, parts):
    """Nor what validates: whatever is heard there, the others stay bit-equal."""
    read = reader(parts, by)
    kept = (
        {key: read(e).clone() for key, e in parts["train"].items()},
        read.standardise.state_dict(),
    )
    other = reader(parts, by)
    for part in ("valid", "test"):
        for entry in parts[part].values():
            other.held[place(entry)] *= 7
    other.fit(parts)
    for key, entry in parts["train"].items():
        assert torch.equal(other(entry), kept[0][key])
    for name, value in other.standardise.state_dict().items():
        assert torch.equal(value, kept[1][name])
    if by == "enrolment":
        for who, statistics in read.speakers.items():
            assert torch.equal(statistics.mean, other.speakers[who].mean)


def test_hidden_labels_keep_their_speaker(parts):
    """An entry that says little more than its file is its speaker's."""
    read = reader(parts, "speaker")
    entry = parts["unlabelled"]["unlabelled0"]
    assert torch.equal(read({"wav": entry["wav"]}), read(entry))


def test_copies_count_for_nothing(parts):
    """Neither faster nor augmented ones."""
    read, more = reader(parts, "speaker"), dict(parts)
    for key, extra in (("speed", 1.1), ("copy", 0)):
        entry = parts["test"]["test0"] | {key: extra}
        more[key] = {key: entry}
        read.held[place(entry)] = torch.full((4, DIM), 99.0)
    before = read.speakers["D"].mean.clone()
    read.fit(more)
    assert torch.equal(read.speakers["D"].mean, before)
    assert read(more["copy"]["copy"]).shape == (4, DIM)


def test_later_speech_leaves_the_train_part_alone(parts):
    """Without a train part what was loaded stays."""
    read = reader(parts, "train")
    mean = read.standardise.mean.clone()
    read.fit({"test": parts["test"]})
    assert torch.equal(read.standardise.mean, mean)


def test_what_is_missing_is_said(parts):
    """A speaker without enrolment, an utterance without a speaker."""
    del parts["enrolment"]
    with pytest.raises(InputError, match="speaker D .* give --enrolment 10"):
        reader(parts, "enrolment")(parts["test"]["test0"])
    del parts["valid"]["valid0"]["speaker"]
    with pytest.raises(InputError, match="valid0 has no speaker"):
        reader(parts, "speaker")
    assert reader(parts, "train")(parts["valid"]["valid0"]).shape[1] == DIM


def test_the_enrolment_is_no_dataset(parts):
    """So it is neither trained on nor scored."""
    held = Parts()
    held.weighting, held.labels, held.sample_rate = "none", ["sad"], 16000
    for part in parts.values():
        for entry in part.values():
            entry["emotion"] = "sad"
    held.set_parts(parts)
    assert set(held.datasets) == set(WHO)


def test_trained_blocks_are_given_what_they_know(small_wav2vec2, tmp_path):
    """Standardised frames are refused where blocks are trained on them."""
    encoder = SSLEncoder(small_wav2vec2, "unused", frozen_layers=2)
    with pytest.raises(InputError, match="blocks of the encoder are trained"):
        KeptFrames(encoder, tmp_path, standardisation=Standardisation(32))
    frozen = SSLEncoder(small_wav2vec2, "unused", frozen=True)
    assert KeptFrames(frozen, tmp_path, standardisation=Standardisation(32))


def test_another_size_is_said(small_wav2vec2, tmp_path):
    """Of an encoder that has more or fewer channels."""
    encoder = SSLEncoder(small_wav2vec2, "unused", frozen=True)
    with pytest.raises(InputError, match="32 channels: set --frame_dim 32"):
        KeptFrames(encoder, tmp_path, standardisation=Standardisation(512))


def test_kept_frames_are_the_encoders(small_wav2vec2, tones, tmp_path):
    """Standardised by those that train; without a standardisation as they are."""
    encoder = SSLEncoder(small_wav2vec2, "unused", frozen=True).eval()
    keys = list(tones)
    parts = {
        "train": {key: tones[key] for key in keys[:6]},
        "test": {key: tones[key] for key in keys[6:]},
    }
    plain = KeptFrames(encoder, tmp_path).prepare(parts, "cpu")
    scale = Standardisation(encoder.dim)
    read = KeptFrames(encoder, tmp_path, standardisation=scale)
    read = read.prepare(parts, "cpu")
    every = torch.cat([plain(e).double() for e in parts["train"].values()])
    std, mean = torch.std_mean(every, dim=0, unbiased=False)
    for entry in tones.values():
        expected = ((plain(entry).double() - mean) / std).float()
        torch.testing.assert_close(read(entry), expected, atol=1e-4, rtol=1e-4)
