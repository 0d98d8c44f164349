"""How GMP-ATL's stages are made: what they take, name and refuse."""

import functools

import pytest
import torch

from conftest import save_ssl_model
from speechbrain_ser.data.pseudo_labelling import make_pseudo_labels
from speechbrain_ser.data.pseudo_labels import PseudoLabels
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.methods.gmp_atl_checks import source_digest
from speechbrain_ser.methods.gmp_atl_stages import (
    Labelling,
    check_labelling,
    genders_input,
    given_files,
    model_input,
)
from speechbrain_ser.utils.errors import InputError


class Frames:
    """In place of a cache of frames."""

    def read(self, entry):
        """Five frames."""
        return torch.arange(5.0).unsqueeze(1)

    def count(self, entry):
        """Five."""
        return 5


@pytest.fixture
def parts(tones):
    """Six tones train, three validate, three test; two people each."""
    for i, entry in enumerate(tones.values()):
        entry |= {"speaker": f"{i // 3}{'FM'[i % 2]}", "gender": "FM"[i % 2]}
    keys = list(tones)
    cuts = {"train": keys[:6], "valid": keys[6:9], "test": keys[9:]}
    return {
        part: {key: tones[key] for key in held} for part, held in cuts.items()
    }


def labelling(source, folder, **more):
    """What makes pseudo-labels of a tiny model's frames."""
    settings = {
        "encoder": functools.partial(SSLEncoder, save_path="unused"),
        "source": source,
        "layer": -2,
        "clusters": "4,2",
        "corpus_name": "tones",
        "cache_folder": str(folder / "frames"),
    }
    return functools.partial(Labelling, **settings | more)


def test_labels_are_of_train_and_valid_alone(parts, small_wav2vec2, tmp_path):
    """The centres of train; what they come from is told."""
    maker = labelling(small_wav2vec2, tmp_path)
    run_opts = type("Options", (), {"device": "cpu", "noprogressbar": True})
    heard = {name: parts[name] for name in ("train", "valid")}
    maker().make(str(tmp_path / "made"), heard, small_wav2vec2, run_opts)
    labels = PseudoLabels(tmp_path / "made")
    assert labels.sizes == [2, 4]
    assert set(labels.ids) == set(parts["train"]) | set(parts["valid"])
    count = sum(labels.count(key) for key in parts["train"])
    assert labels.frames_fitted == count
    assert labels.about == {
        "encoder": source_digest(small_wav2vec2),
        "layer": -2,
        "corpus": "tones",
        "speakers": ["0F", "0M", "1F", "1M", "2F", "2M"],
    }
    # what was made can be given to a run of the same model, layer and split
    check_labelling(maker, parts, str(tmp_path / "made"))
    with pytest.raises(InputError, match="layer -2, this run has layer -1"):
        other = labelling(small_wav2vec2, tmp_path, layer=-1)
        check_labelling(other, parts, str(tmp_path / "made"))
    with pytest.raises(InputError, match="made from encoder"):
        source = save_ssl_model(tmp_path / "other", layers=2)
        other = labelling(source, tmp_path)
        check_labelling(other, parts, str(tmp_path / "made"))
    turned = parts | {"test": parts["valid"]}
    with pytest.raises(InputError, match="who is tested here"):
        check_labelling(maker, turned, str(tmp_path / "made"))


@pytest.mark.parametrize(
    "more, said",
    [
        ({"layer": 0}, "--layer is 0"),
        ({"layer": -4}, "--layer is -4"),
        ({"clusters": 60000}, "--clusters asks for 60000 centres"),
        ({"kmeans_frames": 3}, "leave 3 frames"),
    ],
)
def test_what_can_not_be_made_is_refused(
    more, said, parts, small_wav2vec2, tmp_path
):
    """By what the model and the train part have; nothing is written."""
    maker = labelling(small_wav2vec2, tmp_path, **more)
    with pytest.raises(InputError, match=said):
        check_labelling(maker, parts, None)
    assert not (tmp_path / "frames").exists()


@pytest.mark.parametrize(
    "more, said",
    [
        ({"layer": -2.5}, "--layer is -2.5: give a whole number"),
        ({"clusters": "4,4"}, "--clusters is '4,4'"),
        ({"cache_folder": None}, "--cache_folder is None: .* layer's frames"),
    ],
)
def test_settings_are_checked_from_python_too(
    more, said, small_wav2vec2, tmp_path
):
    """By the same declarations."""
    with pytest.raises(InputError, match=said):
        labelling(small_wav2vec2, tmp_path, **more)()


def test_given_labels_are_named_by_their_content(tmp_path):
    """The file that holds the digests; what is not there is said first."""
    settings = {"pseudo_label_folder": None, "retraining_start": "multitask"}
    assert given_files(settings) == {}
    settings["pseudo_label_folder"] = str(tmp_path / "labels")
    with pytest.raises(InputError, match="is missing"):
        given_files(settings)
    part = {"a": {}}
    make_pseudo_labels(
        tmp_path / "labels", Frames(), part, part, [2], show=False
    )
    with pytest.raises(InputError, match="give --retraining_start pretrained"):
        given_files(settings)
    settings["retraining_start"] = "pretrained"
    path = str(tmp_path / "labels" / "labels.json")
    assert given_files(settings) == {"pseudo_label_folder": path}


def test_inputs_beside_the_settings(parts, small_wav2vec2, tmp_path):
    """The model's content wherever it lies; the genders that are learnt."""
    makers = {"multitask": functools.partial(dict, source=small_wav2vec2)}
    held = model_input(makers, parts)
    assert held == {"pre-trained model": source_digest(small_wav2vec2)}
    before = genders_input(None, parts)
    key = next(iter(parts["valid"]))
    parts["test"] = {}
    assert genders_input(None, parts) == before
    parts["valid"][key]["gender"] = "other"
    assert genders_input(None, parts) != before
