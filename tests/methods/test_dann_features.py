"""DANN's features: each corpus standardised by itself, as they are read."""

import copy
import os

import numpy as np
import pytest
import soundfile
import torch

from speechbrain_ser.data.domains import NAMES
from speechbrain_ser.lobes.features import LogMel
from speechbrain_ser.utils.audio import load_audio
from tests.methods.dann_brain import LABELS, OPEN, array, build_bare, read
from tests.references import dann as reference


def heard(folder, parts, **settings):
    """A Brain that was given parts with audio."""
    cache = str(folder / "cache")
    brain = build_bare(folder, cache_folder=cache, **settings)
    brain.set_parts(parts)
    return brain


@pytest.fixture
def spoken(tones):
    """Parts of two languages, of six tones each; one of them twice."""
    entries = [dict(entry) for entry in tones.values()]
    for i, entry in enumerate(entries):
        entry |= {"domain": i % 2, "emotion": LABELS[i % 3 == 0]}
    source, target = entries[::2], entries[1::2]
    hidden = [
        {k: e[k] for k in ("wav", "start", "stop", "duration", "domain")}
        for e in target
    ]

    def named(held):
        """The same ids in both languages."""
        return {str(i): entry for i, entry in enumerate(held)}

    target = named(target)
    return {
        "train": named(source),
        "valid": {key: target.pop(key) for key in "03"},
        "test": target,
        "target": named(hidden),
    }


def test_features_are_standardised_by_their_own_corpus(spoken, tmp_path):
    """Each utterance once, all of its frames; then brought to one length."""
    features = LogMel(n_mels=8)
    brain = heard(tmp_path, spoken, n_frames=70)
    standardisations = [reader.standardise for reader in brain.readers]
    for domain, parts in ((0, ["train"]), (1, ["target"])):
        entries = [e for part in parts for e in spoken[part].values()]
        frames = [
            features(load_audio(entry)[None], torch.ones(1))[0][0]
            for entry in entries
        ]
        assert {len(f) < 70 for f in frames} == {True, False}
        for entry, expected in zip(
            entries, reference.standardise([array(f) for f in frames])
        ):
            found = read(brain, entry)
            assert found.shape == (70, 8) and found.dtype == torch.float32
            np.testing.assert_allclose(
                found.numpy(),
                reference.fixed_length(expected, 70),
                atol=1e-4,
            )
        whole = torch.cat(frames).double()
        torch.testing.assert_close(
            standardisations[domain].mean.double(), whole.mean(dim=0)
        )
        torch.testing.assert_close(
            standardisations[domain].std.double(), whole.std(0, correction=0)
        )
    # with or without its label, an utterance has the same features
    for part in ("valid", "test"):
        for key, entry in spoken[part].items():
            other = spoken["target"][key]
            assert torch.equal(read(brain, entry), read(brain, other))


def whole(parts):
    """All log-Mel frames of the speech of parts, once."""
    entries = {e["wav"]: e for part in parts for e in part.values()}
    frames = [
        LogMel(n_mels=8)(load_audio(entry)[None], torch.ones(1))[0][0]
        for entry in entries.values()
    ]
    return torch.cat(frames).double()


def test_both_by_the_source(spoken, tmp_path):
    """One standardisation leaves the languages as far apart as they are."""
    spoken["valid"] = {"v": spoken["train"].pop("1")}
    brain = heard(tmp_path, spoken, path=OPEN, standardise_by="train")
    frames = whole([spoken["train"]])
    assert len(frames) < len(whole([spoken["train"], spoken["valid"]]))
    for reader in brain.readers:
        mean, std = reader.standardise.mean, reader.standardise.std
        torch.testing.assert_close(mean.double(), frames.mean(dim=0))
        torch.testing.assert_close(std.double(), frames.std(0, correction=0))


def test_a_target_is_standardised_by_what_is_learnt_from(spoken, tmp_path):
    """Who tests has no part in it; the source counts whole, as before."""
    for part in ("test", "valid"):
        for key in spoken[part]:
            spoken["target"].pop(key)
    spoken["target"]["x"] = spoken["test"].pop("1")
    brain = heard(tmp_path, spoken)
    for reader, parts in zip(
        brain.readers, ([spoken["train"]], [spoken["target"]])
    ):
        frames = whole(parts)
        torch.testing.assert_close(
            reader.standardise.mean.double(), frames.mean(dim=0)
        )


def test_features_are_computed_once(spoken, tmp_path, monkeypatch):
    """A second run reads them, of any length and standardisation."""

    def run(**parts):
        """Reads everything."""
        system = "dann" if "target" in parts else "mono"
        return heard(tmp_path, parts, n_frames=40, system=system)

    brain = run(**spoken)
    (folder,) = os.listdir(tmp_path / "cache")
    names = [n for n in os.listdir(tmp_path / "cache" / folder) if "npy" in n]
    assert len(names) == 12
    kinds = {np.load(tmp_path / "cache" / folder / n).dtype for n in names}
    assert kinds == {np.dtype("float32")}
    monkeypatch.setattr(LogMel, "forward", None)
    again = run(**spoken)
    for entry in spoken["train"].values():
        assert torch.equal(read(brain, entry), read(again, entry))
    # one language alone, as mono has it
    alone = run(train=spoken["train"])
    entry = next(iter(spoken["train"].values()))
    assert torch.equal(read(alone, entry), read(brain, entry))
    with pytest.raises(KeyError):
        read(alone, next(iter(spoken["target"].values())))


def test_segments_of_one_recording_are_told_apart(tmp_path):
    """Start and stop count, as RECOLA has them."""
    path = str(tmp_path / "recording.wav")
    soundfile.write(path, np.random.default_rng(1).normal(0, 0.1, 8000), 16000)
    part = {}
    for i, (start, stop) in enumerate([(0, 4000), (4000, 8000), (0, 8000)]):
        part[str(i)] = {
            "wav": path,
            "start": start,
            "stop": stop,
            "duration": (stop - start) / 16000,
            "domain": 0,
            "emotion": "low",
        }
    brain = heard(tmp_path, {"train": part}, system="mono")
    held = [read(brain, entry) for entry in part.values()]
    for i in range(3):
        assert not torch.equal(held[i], held[i - 1])
    # frames whose windows lie before the end of the first
    torch.testing.assert_close(held[0][:24], held[2][:24])


def states(brain):
    """Copies of both standardisations."""
    return [copy.deepcopy(r.standardise.state_dict()) for r in brain.readers]


@pytest.mark.parametrize("load_first", [True, False])
def test_a_loaded_brain_standardises_by_what_it_loaded(
    spoken, tmp_path, load_first
):
    """Given the test part alone, before it loads or after it; nothing is fit."""
    trained = heard(tmp_path, spoken)
    test = spoken["test"]
    # of the tested language, if they don't say
    bare = {
        key: {name: v for name, v in entry.items() if name != "domain"}
        for key, entry in test.items()
    }
    brain = build_bare(tmp_path, cache_folder=str(tmp_path / "cache"))

    def load():
        """As the checkpointer does."""
        for name, state in zip(NAMES, states(trained)):
            brain.built[f"{name}_standardisation"].load_state_dict(state)

    if load_first:
        load()
    brain.set_parts({"test": bare})
    assert list(brain.datasets) == ["test"] and brain.train_set is None
    fresh = [row["sig"] for row in brain.datasets["test"]]
    load()
    loaded = [row["sig"] for row in brain.datasets["test"]]
    for before, after, entry in zip(fresh, loaded, test.values()):
        assert torch.equal(after, read(trained, entry))
        assert torch.equal(after, before) == load_first
    for one, other in zip(states(trained), states(brain)):
        assert all(torch.equal(other[name], one[name]) for name in one)
