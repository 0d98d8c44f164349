"""What GMP-ATL refuses, in which words, and what it takes."""

import functools
import os
import pathlib
import re
import shutil

import pytest
import torch

from conftest import save_ssl_model
from speechbrain_ser.data.pseudo_labelling import make_pseudo_labels
from speechbrain_ser.data.pseudo_labels import PseudoLabels
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.methods import gmp_atl_checks as checks
from speechbrain_ser.methods.gmp_atl import MultiTaskBrain
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import check_values


def person(speaker, gender, **more):
    """An entry of an annotation."""
    entry = {"speaker": speaker, "gender": gender, "duration": 1.0} | more
    return {name: value for name, value in entry.items() if value is not None}


@pytest.fixture
def parts():
    """A split with two women and a man, another man tests."""
    return {
        "train": {"a": person("F1", "F"), "b": person("M1", "M")},
        "valid": {"c": person("F2", "F"), "d": person("F1", "F")},
        "test": {"e": person("M2", "M")},
    }


def refused(said, work, *args):
    """Checks that there is one sentence, which holds these words."""
    with pytest.raises(InputError) as caught:
        work(*args)
    text = str(caught.value)
    assert said in text
    assert "\n" not in text and not text.endswith(".")


@pytest.mark.parametrize(
    "value, expected",
    [
        ([64, 512, 4096], [64, 512, 4096]),
        ("512,64", [64, 512]),
        (100, [100]),
        ("65536, 2", [2, 65536]),
    ],
)
def test_clusters_are_read(value, expected):
    """In ascending order."""
    assert checks.Clusters().mend(value) is None
    assert checks.clusters_of(value) == expected


@pytest.mark.parametrize(
    "value",
    ["64,64", "64,064", 1, 65537, "-5", 6.5, "many", "", [], None, [64, None]],
)
def test_other_clusters_are_refused(value):
    """A label has two bytes, and one cluster tells nothing."""
    refused(
        f"--clusters is {value!r}: give different whole numbers from 2 to 65536",
        check_values,
        {"clusters": checks.Clusters()},
        {"clusters": value},
    )


def test_genders_of_a_whole_annotation(parts):
    """Sorted words; a speaker without a name counts as one of his own."""
    labelled = checks.labelled(parts)
    assert checks.genders_of(labelled, 0.9) == ["F", "M"]
    nameless = {"a": {"gender": "m"}, "b": {"gender": "f"}}
    assert checks.genders_of(nameless, 0) == ["f", "m"]


def test_gender_is_not_needed_without_its_loss():
    """At alpha_e 1, whatever the annotation says."""
    for annotation in (
        {"a": {}},
        {"a": person("F1", "F")},
        {"a": person("F1", "F"), "b": person("F1", "M")},
    ):
        assert len(checks.genders_of(annotation, 1)) == 1
        assert len(checks.genders_of(annotation, 1.0)) == 1


@pytest.mark.parametrize(
    "changed, said",
    [
        (
            person("M1", None),
            "the utterance b: speaker M1 has no gender, which stage 1 learns: "
            "add it to the annotation, or give --alpha_e 1",
        ),
        (person(None, None), "the utterance b: its speaker has no gender"),
        (
            person("F1", "M"),
            "speaker F1 is F in the utterance a and M in b: correct",
        ),
        (person("F3", "F"), "all speakers of the train part are F"),
    ],
)
def test_speakers_without_a_clear_gender_are_refused(parts, changed, said):
    """Named, by the first of their utterances."""
    parts["train"]["b"] = changed
    labelled = checks.labelled(parts)
    refused(said, checks.genders_of, labelled, 0.9)


def test_splits_that_can_be_trained_on(parts):
    """Genders are asked for in what stage 1 hears, unless it ignores them."""
    check, settings = MultiTaskBrain.check_parts, {"alpha_e": 0.9}
    settings |= {"lr_warmup": 0, "number_of_epochs": 1, "batch_size": 8}
    check(parts, settings)
    del parts["train"]["a"]["gender"]
    refused("no gender", check, parts, settings)
    check(parts, settings | {"alpha_e": 1})
    # who tests needs no gender
    parts["train"]["a"]["gender"] = "F"
    del parts["test"]["e"]["gender"]
    check(parts, settings)


def test_layer_outside_the_encoder(small_wav2vec2):
    """Refused with the number of blocks; 0 is no block's output."""
    encoder = SSLEncoder(small_wav2vec2, "unused")
    for layer in (-3, -1, 1, 3):
        checks.check_layer(encoder, layer, "model")
        # so that the stage which reads the layer takes it, too
        SSLEncoder(small_wav2vec2, "unused", layer=layer)
    for layer in (-4, 0, 4):
        refused(
            f"--layer is {layer}, but model has 3 transformer blocks: give a "
            "layer from -3 (the first) to -1 (the last)",
            checks.check_layer,
            encoder,
            layer,
            "model",
        )


def test_more_centres_than_frames(small_wav2vec2):
    """Refused with both numbers; as many are taken."""
    encoder = SSLEncoder(small_wav2vec2, "unused")
    # 105 samples are a frame, 80 more another one
    annotation = {
        "one": {"duration": 184 / 16000},
        "two": {"duration": 185 / 16000},
        # times 16000 this is 16024.999999999998 again
        "long": {"duration": (105 + 199 * 80) / 16000},
    }
    counted = sum(
        encoder(torch.zeros(1, n), torch.ones(1))[0].shape[1]
        for n in (184, 185, 16025)
    )
    assert counted == 203

    def check(sizes=(2, 203), kmeans_frames=None, kmeans_memory=8.0):
        """Of the annotation above."""
        checks.check_frames(
            encoder, annotation, sizes, 16000, kmeans_frames, kmeans_memory
        )

    check()
    refused(
        "--clusters asks for 204 centres, but the train part has 203 frames",
        check,
        [2, 204],
    )
    # what k-means is given may be less: a frame has 32 numbers of 4 bytes
    for given, taken in (
        ({"kmeans_frames": 202}, 202),
        ({"kmeans_memory": (203 * 128 - 1) / 1e9}, 202),
        ({"kmeans_frames": 40, "kmeans_memory": 30.5 * 128 / 1e9}, 30),
    ):
        refused(
            "--clusters asks for 203 centres, but --kmeans_frames and "
            f"--kmeans_memory leave {taken} frames",
            functools.partial(check, **given),
        )
    for given in (
        {"kmeans_frames": 203},
        {"kmeans_frames": 900},
        {"kmeans_memory": 203.5 * 128 / 1e9},
    ):
        check(**given)


class Frames:
    """In place of a cache of frames."""

    def read(self, entry):
        """Five frames."""
        return torch.arange(5.0).unsqueeze(1)

    def count(self, entry):
        """Five."""
        return 5


@pytest.fixture
def labels(tmp_path, parts):
    """Pseudo-labels of the train and valid part."""
    labelled = checks.labelled(parts)
    folder = tmp_path / "labels"
    about = {"speakers": ["F1", "F2", "M1"]}
    make_pseudo_labels(
        folder, Frames(), labelled, labelled, [2], about=about, show=False
    )
    return PseudoLabels(folder)


def test_labels_of_this_split_are_taken(labels, parts):
    """And of a smaller one."""
    checks.check_labels(labels, parts)
    del parts["train"]["b"]
    checks.check_labels(labels, parts | {"valid": {}})


@pytest.mark.parametrize(
    "part, key, entry, said",
    [
        ("train", "new", person("F1", "F"), "utterance new"),
        ("valid", "new", person("F1", "F"), "utterance new"),
        ("test", "a", person("F1", "F"), "speech of F1, who is tested here"),
        ("test", "x", person("F2", "F"), "speech of F2, who is tested here"),
        ("test", "a", person(None, "F"), "speech of a, who is tested here"),
    ],
)
def test_labels_of_another_split_are_refused(
    labels, parts, part, key, entry, said
):
    """An utterance without labels, or one that tests and has a share."""
    parts[part][key] = entry
    refused(said, checks.check_labels, labels, parts)
    with pytest.raises(InputError, match=re.escape(labels.folder)):
        checks.check_labels(labels, parts)


def test_source_is_named_by_its_content(tmp_path):
    """Weights and settings count; not the path, nor what else lies there."""
    one = save_ssl_model(tmp_path / "one")
    digest = checks.source_digest(one)
    assert re.fullmatch("[0-9a-f]{64}", digest)
    other = str(tmp_path / "elsewhere" / "two")
    shutil.copytree(one, other)
    assert checks.source_digest(other) == digest
    (pathlib.Path(other) / "README.md").write_text("words")
    assert checks.source_digest(other + os.sep) == digest
    # an encoder that was read and written is the same, wherever it lay
    exports = []
    for source in (one, other):
        export = str(tmp_path / f"export{len(exports)}")
        SSLEncoder(source, "unused").export(export)
        exports.append(checks.source_digest(export))
    assert exports[0] == exports[1]
    for name in ("model.safetensors", "preprocessor_config.json"):
        path = pathlib.Path(other) / name
        held = bytearray(path.read_bytes())
        held[-5] ^= 1
        path.write_bytes(held)
        changed = checks.source_digest(other)
        assert changed != digest
        digest = changed


def test_hub_name_names_itself(tmp_path, monkeypatch):
    """Unless a folder of that name lies here, as for transformers."""
    monkeypatch.chdir(tmp_path)
    name = "facebook/hubert-base-ls960"
    assert checks.source_digest(name) == name
    save_ssl_model(tmp_path / name)
    assert checks.source_digest(name) != name


def test_genders_have_a_digest_of_their_own(parts):
    """Of each utterance; what else is in an entry does not count."""
    train = parts["train"]
    digest = checks.genders_digest(train)
    others = dict(reversed(train.items()))
    others["a"] = others["a"] | {"wav": "elsewhere.wav"}
    assert checks.genders_digest(others) == digest
    others["a"] = others["a"] | {"gender": "M"}
    assert checks.genders_digest(others) != digest
