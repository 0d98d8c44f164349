"""GMP-ATL's hparams files: what is refused, and which stage has which setting."""

import pathlib

import pytest

from speechbrain.utils.run_opts import RunOptions
from speechbrain_ser.data.pseudo_labelling import make_pseudo_labels
from speechbrain_ser.experiment.declarations import check_settings
from speechbrain_ser.experiment.hparams import peek, with_overrides
from speechbrain_ser.experiment.plan import Plan
from speechbrain_ser.methods.gmp_atl_stages import given_files
from speechbrain_ser.utils.errors import InputError
from tests.methods.test_gmp_atl_stages import Frames
from tests.recipes.helpers import GMP_ATL, import_script

HPARAMS = pathlib.Path(GMP_ATL).parent / "hparams"
FILES = ("gmp_atl.yaml", "gmp_atl_small.yaml")
STAGES = ("multitask", "labels", "retrained")
# Settings by the first stage that they decide, with another value.
OF_ALL = {
    "multitask_epochs": 3,
    "multitask_lr": 0.5,
    "multitask_lr_warmup": 2,
    "alpha_e": 0.5,
    "class_weights": "balanced",
    "model_selection": "last",
    "lr": 0.5,  # of the stages that have none of their own
    "lr_warmup": 2,  # likewise
    "final_lr": 0.5,
    "batch_size": 3,
    "max_grad_norm": 1.0,
    "seed": 9,
    "labels": ["ang", "sad"],
    "sample_rate": 8000,
    "max_duration": 3.0,
    "long_utterances": "split",
    "corpus_name": "other",
    "ssl_source": "facebook/other",
    "freeze_feature_extractor": None,  # the other of both
    "length_grid": 0.5,
    "blstm_size": 3,
    "embedding_size": 3,
}
OF_LABELS = {
    "layer": -5,
    "clusters": [2, 3],
    "kmeans_frames": 77,
    "kmeans_memory": 0.5,
}
OF_RETRAINED = {
    "retraining_epochs": 3,
    "retraining_lr": 0.5,
    "retraining_lr_warmup": 2,
    "retraining_start": None,
    "retraining_head_size": 3,
    "mask_prob": 0.5,
    "mask_length": 3,
    "mask_min_spans": 9,
}
OF_NONE = {
    "cudnn_attention": True,
    "pseudo_labels": "off",  # then there are none
    "loss": "ce",
    "margin": 0.5,
    "scale": 3.0,
    "finetuning_epochs": 3,
    "finetuning_lr": 0.5,
    "finetuning_lr_warmup": 2,
    "last_epochs": 1,
    "speaker_probe": True,
    "figure_utterances": ["a"],
    # by the split alone
    "fold": 2,
    "data_folder": "elsewhere",
    "skip_prep": True,
    "several_channels": "refuse",
    "train_annotation": "elsewhere",
    "valid_annotation": "elsewhere",
    "test_annotation": "elsewhere",
    "merge_excited": False,
    "improvised_only": True,
    "valid_share": 0.5,
    # places and speed
    "stages": [3],
    "stages_folder": "elsewhere",
    "output_folder": "elsewhere",
    "save_folder": "elsewhere",
    "cache_folder": "elsewhere",
    "ssl_folder": "elsewhere",
    "mini_hparams": "elsewhere",
    "num_workers": 7,
    "eval_batch_size": 3,
    "ckpt_interval_minutes": 3,
    "gradient_checkpointing": True,
    "pseudo_label_folder": "elsewhere",
}
TOGGLED = {
    "freeze_feature_extractor": {True: False, False: True},
    "retraining_start": {"pretrained": "multitask", "multitask": "pretrained"},
}
BOTH = [pytest.param(str(HPARAMS / name), id=name) for name in FILES]


def checked(path, **settings):
    """Checks settings as a recipe does before anything is read."""
    overrides = with_overrides("", **settings)
    check_settings(path, overrides)
    experiment = import_script(GMP_ATL).RECIPE.experiment(path, overrides)
    experiment.check_settings(peek(path, overrides))


def test_hparams_files_are_taken():
    """As they are, and with each other row of the paper's tables."""
    path, small = (str(HPARAMS / name) for name in FILES)
    checked(path)
    checked(small)
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
        {"pseudo_label_folder": "labels", "retraining_start": "pretrained"},
    ):
        checked(path, **change)


@pytest.mark.parametrize(
    "change, said",
    [
        ("pseudo_labels: true", "--pseudo_labels"),
        ("loss: aam", "am_softmax"),
        ("retraining_start: scratch", "pretrained, multitask"),
        ("stages: '4'", "--stages is '4'"),
        ("clusters: [64, 64]", "--clusters is [64, 64]"),
        ("clusters: 1", "--clusters is 1: "),
        ("clusters: 65537", "--clusters is 65537"),
        ("clusters: []", "--clusters is []"),
        ("stages: []", "--stages is []"),
        ("model_selection: luck", "--model_selection is 'luck'"),
        ("labels: ang", "--labels is 'ang': give a list in brackets"),
        ("layer: last", "--layer is 'last': give a whole number"),
        ("layer: -3.0", "--layer is -3.0: give a whole number"),
        ("alpha_e: 1.1", "--alpha_e is 1.1: give a number from 0 to 1"),
        ("alpha_e: '0.9'", "--alpha_e is '0.9': give a number"),
        ("alpha_e: .nan", "--alpha_e is nan"),
        ("margin: -0.1", "--margin is -0.1: give a number from 0 to 2"),
        ("scale: 0", "--scale is 0: give a number from"),
        ("scale: .inf", "--scale is inf: give a number from"),
        ("mask_prob: 0", "--mask_prob is 0: give a number from"),
        ("mask_prob: 8", "--mask_prob is 8: give a number from"),
        ("mask_length: 0", "--mask_length is 0: give a whole number from 1"),
        ("mask_length: 2.5", "--mask_length is 2.5: give a whole number"),
        ("mask_length: true", "--mask_length is True: give a whole number"),
        ("kmeans_frames: 0", "--kmeans_frames is 0: give a whole number"),
        ("kmeans_frames: 1.0e+6", "--kmeans_frames is 1000000.0: give a whole"),
        ("kmeans_memory: 0", "--kmeans_memory is 0: give a number from"),
        ("kmeans_memory: null", "--kmeans_memory is None: give a number"),
        ("mask_min_spans: -1", "--mask_min_spans is -1: give a whole number"),
        ("multitask_epochs: 0", "--multitask_epochs is 0: give a whole number"),
        ("retraining_lr: -1", "--retraining_lr is -1: give a number above 0"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(change, said):
    """Each with its name, what was given and the mend."""
    path = str(HPARAMS / FILES[0])
    recipe = import_script(GMP_ATL).RECIPE
    with pytest.raises(InputError) as caught:
        experiment = recipe.experiment(path, change)
        check_settings(path, change)
        experiment.check_settings(peek(path, change))
    text = str(caught.value)
    assert said in text
    assert "\n" not in text and not text.endswith(".")


# Which stage has which setting


def keys(path, folder, **settings):
    """Stage to key, of a split that is always the same."""
    overrides = with_overrides("", **settings)
    planned = Plan(
        str(GMP_ATL),
        path,
        overrides,
        peek(path, overrides),
        {part: {} for part in ("train", "valid", "test")},
        "none",
        files=given_files(peek(path, overrides)) if folder else {},
    )
    experiment = import_script(GMP_ATL).RECIPE.experiment(path, overrides)
    stages = experiment.make_stages(planned, RunOptions())
    return {name: stage.key for name, stage in stages.items()}


@pytest.mark.parametrize("path", BOTH)
def test_each_setting_decides_the_stages_that_use_it(path):
    """And those after them; every setting of the file is looked at."""
    before, settings = keys(path, None), peek(path, "")
    assert tuple(before) == STAGES
    groups = (OF_ALL, OF_LABELS, OF_RETRAINED, OF_NONE)
    known = [name for group in groups for name in group]
    # made of another thing in the small file
    assert set(settings) | {"ssl_source"} == set(known)
    assert len(set(known)) == len(known)
    for first, group in enumerate(groups[:-1]):
        for name, value in group.items():
            if name in TOGGLED:
                value = TOGGLED[name][settings[name]]
            after = keys(path, None, **{name: value})
            changed = [k for k in after if after[k] != before[k]]
            assert changed == list(STAGES[first:]), name
    assert keys(path, None, pseudo_labels="off") == {}
    given = keys(path, None, pseudo_label_folder="elsewhere")
    assert list(given) == ["retrained"]
    # those that decide nothing, all at once
    rest = OF_NONE.keys() - {"pseudo_labels", "pseudo_label_folder"}
    assert keys(path, None, **{name: OF_NONE[name] for name in rest}) == before


def test_given_labels_decide_by_their_content(tmp_path):
    """Not by their folder; then stage 1 decides nothing."""
    path, part = str(HPARAMS / "gmp_atl.yaml"), {"a": {}}
    found = []
    for name, seed in (("one", 0), ("moved", 0), ("other", 1)):
        folder = str(tmp_path / name)
        make_pseudo_labels(
            folder, Frames(), part, part, [2], seed=seed, show=False
        )
        given = {"pseudo_label_folder": folder}
        found.append(keys(path, folder, **given))
        assert list(found[-1]) == ["retrained"]
        assert keys(path, folder, layer=-5, alpha_e=0.1, **given) == found[-1]
        assert keys(path, folder, mask_length=3, **given) != found[-1]
    assert found[0] == found[1] != found[2]
