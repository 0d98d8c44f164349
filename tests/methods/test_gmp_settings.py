"""What GMP-ATL's recipe refuses, in which words, and what it takes."""

import os
import pathlib
import re
import shutil

import pytest
import torch

from conftest import save_ssl_model
from speechbrain_ser.data.pseudo_labelling import make_pseudo_labels
from speechbrain_ser.data.pseudo_labels import PseudoLabels
from speechbrain_ser.experiment import recipe
from speechbrain_ser.lobes.ssl import SSLEncoder
from speechbrain_ser.methods import gmp_settings
from speechbrain_ser.utils.errors import InputError

HPARAMS = pathlib.Path(__file__).parents[2] / "recipes" / "IEMOCAP" / "hparams"
FILES = ("gmp_atl.yaml", "gmp_atl_small.yaml")


@pytest.fixture(params=FILES)
def settings(request):
    """The settings of a hparams file, as a recipe reads them."""
    return recipe.peek(str(HPARAMS / request.param), "")


def person(speaker, gender, **more):
    """An entry of an annotation."""
    entry = {"speaker": speaker, "gender": gender, "duration": 1.0} | more
    return {name: value for name, value in entry.items() if value is not None}


@pytest.fixture
def parts():
    """A split with two women and a man, another man evaluates."""
    return {
        "train": {"a": person("F1", "F"), "b": person("M1", "M")},
        "validation": {"c": person("F2", "F"), "d": person("F1", "F")},
        "evaluation": {"e": person("M2", "M")},
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
        ([1, 2, 3], [1, 2, 3]),
        ("2,3", [2, 3]),
        ("3, 1", [1, 3]),
        (3, [3]),
        ("2,2", [2]),
    ],
)
def test_stages_are_read(value, expected):
    """In ascending order, as a file and a command line have them."""
    assert gmp_settings.stages_of(value) == expected


@pytest.mark.parametrize("value", [4, 0, "1-3", "all", "", [], None, "2,,3"])
def test_other_stages_are_refused(value):
    """With what was given and what there is."""
    refused(
        f"--stages is {value!r}: give numbers of stages, such as 2,3",
        gmp_settings.stages_of,
        value,
    )


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
    assert gmp_settings.clusters_of(value) == expected


@pytest.mark.parametrize(
    "value",
    ["64,64", "64,064", 1, 65537, "-5", 6.5, "many", "", [], None, [64, None]],
)
def test_other_clusters_are_refused(value):
    """A label has two bytes, and one cluster tells nothing."""
    refused(
        f"--clusters is {value!r}: give different whole numbers from 2 to 65536",
        gmp_settings.clusters_of,
        value,
    )


def test_hparams_files_are_taken(settings):
    """As they are, and with each other row of the paper's tables."""
    gmp_settings.check_settings(settings)
    for change in (
        {"pseudo_labels": "off"},
        {"loss": "ce"},
        {"layer": -8},
        {"alpha_e": 1},
        {"alpha_e": 0},
        {"margin": 0},
        {"mask_min_spans": 0},
        {"kmeans_frames": 500000, "kmeans_memory": 1},
        {"retraining_start": "multitask"},
        {"label_folder": "labels", "retraining_start": "pretrained"},
    ):
        gmp_settings.check_settings(settings | change)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"pseudo_labels": True}, "--pseudo_labels"),
        ({"loss": "aam"}, "am_softmax"),
        ({"retraining_start": "scratch"}, "pretrained, multitask"),
        ({"stages": "4"}, "--stages is '4'"),
        ({"clusters": [64, 64]}, "--clusters is [64, 64]"),
        ({"labels": "ang"}, "--labels is 'ang': give a list in brackets"),
        ({"layer": "last"}, "--layer is 'last': give a whole number"),
        ({"layer": -3.0}, "--layer is -3.0: give a whole number"),
        ({"alpha_e": 1.1}, "--alpha_e is 1.1: give a number from 0 to 1"),
        ({"alpha_e": "0.9"}, "--alpha_e is '0.9': give a number"),
        ({"alpha_e": float("nan")}, "--alpha_e is nan"),
        ({"margin": -0.1}, "--margin is -0.1: give a number from 0 to 2"),
        ({"scale": 0}, "--scale is 0: give a number from"),
        ({"scale": float("inf")}, "--scale is inf: give a number from"),
        ({"mask_prob": 0}, "--mask_prob is 0: give a number from"),
        ({"mask_prob": 8}, "--mask_prob is 8: give a number from"),
        ({"mask_length": 0}, "--mask_length is 0: give a whole number from 1"),
        ({"mask_length": 2.5}, "--mask_length is 2.5: give a whole number"),
        ({"mask_length": True}, "--mask_length is True: give a whole number"),
        ({"kmeans_frames": 0}, "--kmeans_frames is 0: give a whole number"),
        ({"kmeans_frames": 1e6}, "--kmeans_frames is 1000000.0: give a whole"),
        ({"kmeans_memory": 0}, "--kmeans_memory is 0: give a number from"),
        ({"kmeans_memory": None}, "--kmeans_memory is None: give a number"),
        ({"mask_min_spans": -1}, "--mask_min_spans is -1: give a whole number"),
        (
            {"label_folder": "labels", "retraining_start": "multitask"},
            "give --retraining_start pretrained",
        ),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, change, said):
    """Each with its name, what was given and the mend."""
    refused(said, gmp_settings.check_settings, settings | change)


def test_each_setting_belongs_to_one_stage_at_most(settings):
    """And no stage is said to have a setting that is not there."""
    groups = (
        gmp_settings.OF_LABELS,
        gmp_settings.OF_MULTITASK,
        gmp_settings.OF_RETRAINING,
        gmp_settings.OF_FINETUNING,
    )
    for name in settings:
        assert sum(name.startswith(group) for group in groups) <= 1, name
    for prefix in sum(groups, ()):
        assert any(name.startswith(prefix) for name in settings), prefix
    shared = {"seed", "batch_size", "ssl_source", "lr", "label_folder"}
    assert not any(name.startswith(sum(groups, ())) for name in shared)


def test_genders_of_a_whole_annotation(parts):
    """Sorted words; a speaker without a name counts as one of his own."""
    labelled = parts["train"] | parts["validation"]
    assert gmp_settings.genders_of(labelled, 0.9) == ["F", "M"]
    nameless = {"a": {"gender": "m"}, "b": {"gender": "f"}}
    assert gmp_settings.genders_of(nameless, 0) == ["f", "m"]


def test_gender_is_not_needed_without_its_loss():
    """At alpha_e 1, whatever the annotation says."""
    for annotation in (
        {"a": {}},
        {"a": person("F1", "F")},
        {"a": person("F1", "F"), "b": person("F1", "M")},
    ):
        assert len(gmp_settings.genders_of(annotation, 1)) == 1
        assert len(gmp_settings.genders_of(annotation, 1.0)) == 1


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
    labelled = parts["train"] | parts["validation"]
    refused(said, gmp_settings.genders_of, labelled, 0.9)


def test_splits_that_can_be_trained_on(parts, settings):
    """Genders are asked for where stage 1 runs alone."""
    settings |= {"model_selection": "best"}
    gmp_settings.check_parts(parts, settings)
    del parts["train"]["a"]["gender"]
    refused("no gender", gmp_settings.check_parts, parts, settings)
    for change in (
        {"pseudo_labels": "off"},
        {"label_folder": "labels"},
        {"alpha_e": 1},
    ):
        gmp_settings.check_parts(parts, settings | change)
    # who evaluates needs no gender
    parts["train"]["a"]["gender"] = "F"
    del parts["evaluation"]["e"]["gender"]
    gmp_settings.check_parts(parts, settings)


def test_validation_part_is_needed_to_choose_an_epoch(parts, settings):
    """Also where the pseudo-labels are off."""
    parts["validation"] = {}
    path = str(settings["valid_annotation"])
    for word in ("on", "off"):
        chosen = settings | {"model_selection": "best", "pseudo_labels": word}
        refused(path, gmp_settings.check_parts, parts, chosen)
        last = chosen | {"model_selection": "last"}
        gmp_settings.check_parts(parts, last)


def test_drawn_utterances_must_have_labels(parts):
    """Those of the evaluation part have none."""
    for names in (None, [], "a", "a, d", ["c", "b"]):
        gmp_settings.check_drawn(names, parts)
    for name in ("e", "nobody"):
        refused(
            f"--drawn {name}: it has no pseudo-labels",
            gmp_settings.check_drawn,
            f"a,{name}",
            parts,
        )


def test_layer_outside_the_encoder(small_wav2vec2):
    """Refused with the number of blocks; 0 is no block's output."""
    encoder = SSLEncoder(small_wav2vec2, "unused")
    for layer in (-3, -1, 1, 3):
        gmp_settings.check_layer(encoder, layer, "model")
        # so that the stage which reads the layer takes it, too
        SSLEncoder(small_wav2vec2, "unused", layer=layer)
    for layer in (-4, 0, 4):
        refused(
            f"--layer is {layer}, but model has 3 transformer blocks: give a "
            "layer from -3 (the first) to -1 (the last)",
            gmp_settings.check_layer,
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
    settings = {
        "clusters": [2, 203],
        "sample_rate": 16000,
        "kmeans_frames": None,
        "kmeans_memory": 8.0,
    }
    check = gmp_settings.check_frames
    check(encoder, annotation, settings)
    refused(
        "--clusters asks for 204 centres, but the train part has 203 frames",
        check,
        encoder,
        annotation,
        settings | {"clusters": "204,2"},
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
            check,
            encoder,
            annotation,
            settings | given,
        )
    for given in (
        {"kmeans_frames": 203},
        {"kmeans_frames": 900},
        {"kmeans_memory": 203.5 * 128 / 1e9},
    ):
        check(encoder, annotation, settings | given)


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
    """Pseudo-labels of the train and validation part."""
    labelled = parts["train"] | parts["validation"]
    folder = tmp_path / "labels"
    about = {"speakers": ["F1", "F2", "M1"]}
    make_pseudo_labels(
        folder, Frames(), labelled, labelled, [2], about=about, show=False
    )
    return PseudoLabels(folder)


def test_labels_of_this_split_are_taken(labels, parts):
    """And of a smaller one."""
    gmp_settings.check_labels(labels, parts)
    del parts["train"]["b"]
    gmp_settings.check_labels(labels, parts | {"validation": {}})


@pytest.mark.parametrize(
    "part, key, entry, said",
    [
        ("train", "new", person("F1", "F"), "utterance new"),
        ("validation", "new", person("F1", "F"), "utterance new"),
        ("evaluation", "a", person("F1", "F"), "speech of F1, who evaluates"),
        ("evaluation", "x", person("F2", "F"), "speech of F2, who evaluates"),
        ("evaluation", "a", person(None, "F"), "speech of a, who evaluates"),
    ],
)
def test_labels_of_another_split_are_refused(
    labels, parts, part, key, entry, said
):
    """An utterance without labels, or one that evaluates and has a share."""
    parts[part][key] = entry
    refused(said, gmp_settings.check_labels, labels, parts)
    with pytest.raises(InputError, match=re.escape(labels.folder)):
        gmp_settings.check_labels(labels, parts)


def test_source_is_named_by_its_content(tmp_path):
    """Weights and settings count; not the path, nor what else lies there."""
    one = save_ssl_model(tmp_path / "one")
    digest = gmp_settings.source_digest(one)
    assert re.fullmatch("[0-9a-f]{64}", digest)
    other = str(tmp_path / "elsewhere" / "two")
    shutil.copytree(one, other)
    assert gmp_settings.source_digest(other) == digest
    (pathlib.Path(other) / "README.md").write_text("words")
    assert gmp_settings.source_digest(other + os.sep) == digest
    # an encoder that was read and written is the same, wherever it lay
    exports = []
    for source in (one, other):
        export = str(tmp_path / f"export{len(exports)}")
        SSLEncoder(source, "unused").export(export)
        exports.append(gmp_settings.source_digest(export))
    assert exports[0] == exports[1]
    for name in ("model.safetensors", "preprocessor_config.json"):
        path = pathlib.Path(other) / name
        held = bytearray(path.read_bytes())
        held[-5] ^= 1
        path.write_bytes(held)
        changed = gmp_settings.source_digest(other)
        assert changed != digest
        digest = changed


def test_hub_name_names_itself(tmp_path, monkeypatch):
    """Unless a folder of that name lies here, as for transformers."""
    monkeypatch.chdir(tmp_path)
    name = "facebook/hubert-base-ls960"
    assert gmp_settings.source_digest(name) == name
    save_ssl_model(tmp_path / name)
    assert gmp_settings.source_digest(name) != name


def test_genders_have_a_digest_of_their_own(parts):
    """Of each utterance; what else is in an entry does not count."""
    train = parts["train"]
    digest = gmp_settings.genders_digest(train)
    others = dict(reversed(train.items()))
    others["a"] = others["a"] | {"wav": "elsewhere.wav"}
    assert gmp_settings.genders_digest(others) == digest
    others["a"] = others["a"] | {"gender": "M"}
    assert gmp_settings.genders_digest(others) != digest
