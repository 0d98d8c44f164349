"""What a hparams file's settings may be and count for follows from arguments."""

import pkgutil
import re

import pytest

from speechbrain.utils.run_opts import RunOptions
from speechbrain_ser.experiment import renamed
from speechbrain_ser.experiment.alone import load_alone
from speechbrain_ser.experiment.declarations import (
    check_options,
    check_settings,
    counts,
    uses,
)
from speechbrain_ser.experiment.hparams import peek, written
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import (
    NOTHING,
    REPORT,
    RUN,
    Labels,
    ListOf,
    Number,
    OneOf,
    Switch,
    Values,
    Whole,
    Word,
    checked,
)
from tests.recipes.helpers import LPMN, ROOT, import_script, run_recipe

HPARAMS = sorted((ROOT / "recipes").glob("*/hparams/*.yaml"))
# What is null in the files follows from other settings.
FILLED = {
    "labels": "[low, high]",
    "penalty": "l1",
    "emotion_weight": 0.5,
    "batch_norm": "bn1",
}
SCRIPTS = sorted((ROOT / "recipes").glob("*/*.py"))


class Widget:
    """Stands in for a Brain."""

    def __init__(
        self,
        size: Whole(1),
        rates: Values(Number(above=0, optional=True)),
        folder: Word(counts=NOTHING),
        shown: Switch(counts=REPORT) = False,
        **kwargs,
    ):
        self.size = size


class Wider(Widget):
    """Its arguments are the base's too."""

    def __init__(self, kind: OneOf("a", "b"), **kwargs):
        super().__init__(**kwargs)
        self.kind = kind


YAML = """\
n: 3
lr: 0.1
lr_other: null
where: here
show: False
word: a
inner: !ref <where>/inner
table: {first: !ref <lr>, other: !ref <lr_other>}
free: 5
widget: !new:tests.experiment.test_declarations.Wider
    kind: !ref <word>
    size: !ref <n>
    rates: !ref <table>
    folder: !ref <where>
    shown: !ref <show>
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A hparams file whose class counts as the package's."""
    from speechbrain_ser.experiment import declarations

    original = declarations.named

    def named(path, tag):
        """Knows the stand-in too."""
        if tag and tag.endswith("test_declarations.Wider"):
            return Wider
        return original(path, tag)

    monkeypatch.setattr(declarations, "named", named)
    file = tmp_path / "a.yaml"
    file.write_text(YAML)
    return str(file)


def test_a_setting_counts_for_what_its_argument_says(path):
    """Through a mapping too; what nobody declares counts for the run."""
    found = counts(path, peek(path, ""))
    assert found == {
        "n": RUN,
        "lr": RUN,
        "lr_other": RUN,
        "where": NOTHING,
        "show": REPORT,
        "word": RUN,
        "inner": RUN,
        "free": RUN,
    }


@pytest.mark.parametrize(
    "overrides, said",
    [
        ("n: 0", "--n is 0: give a whole number from 1"),
        ("n: 1.5", "--n is 1.5: give a whole number"),
        ("n: many", "--n is 'many'"),
        ("n: .inf", "--n is inf"),
        ("lr: 0", "--lr is 0: give a number above 0, or null"),
        ("lr_other: -1", "--lr_other is -1"),
        ("show: 'yes'", "--show is 'yes': give True or False"),
        ("word: c", "--word is 'c': give one of a, b"),
        ("where: 5", "--where is 5: give a word"),
    ],
)
def test_an_unfit_setting_is_named_as_the_user_knows_it(overrides, said, path):
    """Before anything is built, by the one sentence of its kind."""
    check_settings(path, "")
    with pytest.raises(InputError) as caught:
        check_settings(path, overrides)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    "path", HPARAMS, ids=lambda p: f"{p.parts[-3]}-{p.stem}"
)
def test_files_as_they_stand_are_fit(path):
    """Every hparams file of the recipes."""
    known = peek(str(path), "")
    check_settings(
        str(path),
        "\n".join(
            f"{name}: {value}"
            for name, value in FILLED.items()
            if name in known and known[name] is None
        ),
    )


@pytest.mark.parametrize(
    "path", HPARAMS, ids=lambda p: f"{p.parts[-3]}-{p.stem}"
)
def test_places_and_speed_count_for_nothing(path):
    """In every recipe alike: folders, workers, batches of the evaluation."""
    free = {
        "data_folder",
        "output_folder",
        "save_folder",
        "cache_folder",
        "ssl_folder",
        "num_workers",
        "eval_batch_size",
        "ckpt_interval_minutes",
        "skip_prep",
        "train_annotation",
        "valid_annotation",
        "test_annotation",
        "unlabelled_annotation",
        "source_annotation",
        "target_annotation",
        "stages",
        "stages_folder",
    }
    reported = {"speaker_probe", "figure_utterances", "compared_folder"}
    found = counts(str(path), peek(str(path), ""))
    for name, kind in found.items():
        assert (kind == NOTHING) >= (name in free), (name, kind)
        assert (kind != RUN) >= (name in reported), (name, kind)
    for name in ("seed", "number_of_epochs", "labels", "batch_size", "lr"):
        assert found.get(name, RUN) == RUN


@pytest.mark.parametrize(
    "path", HPARAMS, ids=lambda p: f"{p.parts[-3]}-{p.stem}"
)
@pytest.mark.parametrize(
    "name, value",
    [
        ("number_of_epochs", 0),
        ("number_of_epochs", -1),
        ("number_of_epochs", 1.5),
        ("multitask_epochs", 0),
        ("finetuning_epochs", 0),
        ("dropout", 1),
        ("lr", -0.1),
        ("lr", "fast"),
        ("weight_decay", -0.1),
        ("batch_size", 0),
        ("seed", -1),
        ("seed", 2**32),
    ],
)
def test_what_libraries_take_is_checked_too(name, value, path):
    """In every recipe that has the setting, by its name."""
    settings = peek(str(path), "")
    if name not in settings:
        pytest.skip(f"{path.name} has no {name}")
    if name == "lr" and path.stem.startswith("gmp_atl"):
        pytest.skip("each stage has a rate of its own")
    overrides = f"{name}: {value}\nlabels: [low, high]"
    if "batch_norm" in settings:
        overrides += "\nbatch_norm: bn1"
    with pytest.raises(InputError, match=f"^--{name} is "):
        check_settings(str(path), overrides)


def trained_keys(path, pattern, but=()):
    """The settings of a hparams file whose names are like that."""
    return [
        name
        for name in peek(str(path), "")
        if re.fullmatch(pattern, name) and name not in but
    ]


def refused(path, key, value):
    """Whether a setting is refused by its name before anything is built."""
    known = peek(str(path), "")
    given = {
        name: word
        for name, word in FILLED.items()
        if name in known and known[name] is None
    } | {key: value}
    overrides = "\n".join(f"{name}: {word}" for name, word in given.items())
    # lr is the rate of each stage, which has a name of its own
    named = r"\w*lr" if key == "lr" else key
    with pytest.raises(InputError, match=f"^--{named} is "):
        check_settings(str(path), overrides)


@pytest.mark.parametrize(
    "path", HPARAMS, ids=lambda p: f"{p.parts[-3]}-{p.stem}"
)
class TestNothingIsTrained:
    """Settings by which a run would end well with a model that has learnt nothing."""

    def test_no_epoch(self, path):
        """Every number of epochs, of each stage, by its own name."""
        # these may be 0: of the report, and before a method begins
        keys = trained_keys(
            path, r".*epochs|.*iterations", ("last_epochs", "warmup_epochs")
        )
        closed_form = ("evaluate", "probe", "probe_logmel", "egemaps_svm")
        assert keys or path.stem in closed_form
        for key in keys:
            for value in (0, -1, "null"):
                refused(path, key, value)

    def test_no_step(self, path):
        """Every learning rate."""
        keys = trained_keys(
            path,
            r"(\w+_)?lr|lr_\w+",
            ("final_lr", "lowest_lr", "lr_power", "lr_warmup"),
        )
        for key in keys:
            refused(path, key, 0)
            refused(path, key, -0.1)

    def test_no_emotion(self, path):
        """The weight of the loss that the report is on."""
        for key in trained_keys(path, "alpha|emotion_weight"):
            if path.stem.startswith("lpmn"):
                brain = load_alone(str(path), f"{key}: 0", "brain", True)
                with pytest.raises(InputError, match=f"^--{key} is 0"):
                    brain.func.check_arguments(brain.keywords)
            else:
                refused(path, key, 0)

    def test_no_checkpoint(self, path):
        """Without them no epoch is kept, without a counter none is trained."""
        for key in ("checkpointer", "epoch_counter"):
            if key in written(str(path)):
                refused(path, key, "null")


@pytest.mark.parametrize(
    "option, unfit, fit",
    [
        ("grad_accumulation_factor", [0, -1], [1, 8]),
        ("max_grad_norm", [0, -1, float("nan")], [0.1, 5.0]),
        ("nonfinite_patience", [-1], [0, 3]),
        ("optimizer_step_limit", [0, "0", "-3", "few"], [None, 5, "5"]),
    ],
)
def test_run_options_that_train_nothing(option, unfit, fit, tmp_path):
    """SpeechBrain takes them; a clipping below 0 turns the gradient round."""
    file = tmp_path / "ipr.yaml"
    text = next(p for p in HPARAMS if p.stem == "ipr").read_text()
    text = re.sub("(?m)^max_grad_norm.*$", "", text)
    for value in fit:
        check_options(RunOptions.from_dictionary({option: value}))
    for value in unfit:
        with pytest.raises(InputError, match=f"--{option} is .*: give a "):
            check_options(RunOptions.from_dictionary({option: value}))
    # a hparams file may hold it too
    file.write_text(f"{text}{option}: {fit[0]}\n")
    refused(file, option, unfit[0])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_every_recipe_looks_at_its_run_options(script, monkeypatch):
    """Before anything is read."""
    hparams = sorted(script.parent.glob("hparams/*.yaml"))[0]
    error = run_recipe(
        monkeypatch, hparams, "--max_grad_norm", "-1", script=script
    )
    assert error.startswith("error: --max_grad_norm is -1.0: give a number")


def test_an_old_class_is_called_by_its_new_name(tmp_path):
    """A YAML file of before: the sentence says what it is called now."""
    path = tmp_path / "old.yaml"
    path.write_text("pool: !apply:speechbrain_ser.stages.Stage\n    a: 1\n")
    with pytest.raises(InputError, match="experiment.stages.Stage now"):
        list(uses(str(path)))
    path.write_text("pool: !new:speechbrain_ser.nowhere.Thing\n")
    with pytest.raises(InputError, match="there is not: correct it"):
        check_settings(str(path), "")


def test_an_old_file_is_refused(tmp_path):
    """Which has no experiment: one sentence with the file."""
    path = tmp_path / "old.yaml"
    path.write_text("seed: 1\ncorpus: IEMOCAP\n")
    with pytest.raises(InputError, match="old.yaml has no experiment"):
        load_alone(str(path), "", "experiment")
    with pytest.raises(InputError, match="old.yaml has no corpus that is"):
        load_alone(str(path), "", "corpus")


def test_whoever_calls_from_python_is_checked_too():
    """By the same sentence, with positional arguments and defaults."""

    @checked
    def half(number: Whole(0), *, kind: OneOf("a", None) = None):
        """Halves."""
        return number / 2, kind

    assert half(4) == (2, None) and half(number=4, kind="a") == (2, "a")
    with pytest.raises(InputError, match="--number is -1: give a whole"):
        half(-1)
    with pytest.raises(InputError, match="--kind is 'b': give one of a, null"):
        half(1, kind="b")


@pytest.mark.parametrize(
    "setting, fit, unfit",
    [
        (Whole(1, 5), [1, 5], [0, 6, True, 1.0, "1", None]),
        (Number(0, below=1), [0, 0.5], [1, -0.1, float("nan"), False]),
        (Number(above=0, optional=True), [None, 1e-9], [0, "x"]),
        (OneOf("a", "b"), ["a", "b"], ["A", None, 1, ["a"]]),
        (Switch(), [True, False], [1, "True", None]),
        (Labels(), [["a", "b"], []], ["ab", None, ["a", "a"], [1]]),
        (ListOf(Whole(1), 1), [[1], [2, 3]], [[], [0], 5, "1,2"]),
        (Word(), ["a", ""], [None, 1]),
        (Word(optional=True), ["a", None], [1.5]),
    ],
)
def test_what_is_fit(setting, fit, unfit):
    """True is no number, and a number no word."""
    assert [setting.mend(value) for value in fit] == [None] * len(fit)
    for value in unfit:
        assert setting.mend(value).startswith("give "), value


@pytest.mark.parametrize("value", ["null", "5", "a"])
def test_a_list_or_a_mapping_may_be_replaced(tmp_path, value):
    """By null, a number or a word: the argument's declaration judges it."""
    path = tmp_path / "a.yaml"
    path.write_text("numbers: [1, 2]\ntable: {a: 1}\n", encoding="utf-8")
    for name in ("numbers", "table"):
        check_settings(str(path), f"{name}: {value}")


def test_what_is_renamed_is_there():
    """Every new name of a module or class can be imported."""
    for new in renamed.MODULES.values():
        assert pkgutil.resolve_name(f"speechbrain_ser.{new}"), new


def test_a_file_of_before_is_refused_by_the_recipe(tmp_path):
    """Classes that moved are named with their new places."""
    old = tmp_path / "old.yaml"
    text = (ROOT / "recipes/IEMOCAP/hparams/lpmn.yaml").read_text()
    old.write_text(text.replace("lobes.importance", "lobes.codebook"))
    with pytest.raises(
        InputError, match="lobes.importance.FisherImportance now"
    ):
        import_script(LPMN).plan(str(old), "")
