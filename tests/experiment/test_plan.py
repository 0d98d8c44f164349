"""A run's key: equal for what gives the same numbers, else not."""

import contextlib
import functools
import os
import shutil

import pytest

import speechbrain as sb
import speechbrain_ser
from speechbrain_ser.experiment import declarations, hparams, identity, plan
from speechbrain_ser.experiment.experiment import run_options_of
from speechbrain_ser.utils.errors import InputError
from tests.recipes.helpers import RECIPE, ROOT, import_script

HPARAMS = ROOT / "recipes" / "IEMOCAP" / "hparams" / "ipr_logmel.yaml"
SSL = HPARAMS.with_name("ipr.yaml")


def run_options(**settings):
    """SpeechBrain's run options."""
    return sb.core.RunOptions.from_dictionary(settings)


def make_plan(mini_folder, path=HPARAMS, **settings):
    """A plan of the IPR recipe."""
    settings = {"data_folder": mini_folder, "test_size": 0.4} | settings
    overrides = hparams.with_overrides("", **settings)
    return import_script(RECIPE).plan(str(path), overrides)


@pytest.mark.parametrize(
    "settings",
    [
        {"num_workers": 3},
        {"output_folder": "elsewhere"},
        {"eval_batch_size": 2},
        {"ckpt_interval_minutes": 7},
        {"test_size": 0.40},
    ],
)
def test_what_changes_no_number_keeps_the_key(settings, mini_folder):
    """Places, workers, how often a checkpoint is written."""
    options = run_options()
    assert make_plan(mini_folder, **settings).key(options) == (
        make_plan(mini_folder).key(options)
    )


def test_a_moved_corpus_is_the_same(mini_folder, tmp_path):
    """The split goes by ids and labels."""
    shutil.copytree(mini_folder, tmp_path / "moved")
    options = run_options()
    moved = make_plan(str(tmp_path / "moved"))
    assert moved.key(options) == make_plan(mini_folder).key(options)
    assert moved.settings["data_folder"] != mini_folder


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": 2},
        {"system": "baseline"},
        {"lr": 0.002},
        {"test_size": 0.5},
        {"snr_low": 3},
        {"corpus_name": "other"},
    ],
)
def test_what_changes_a_number_changes_the_key(settings, mini_folder):
    """Settings, also those that only an object of the YAML reads."""
    options = run_options()
    assert make_plan(mini_folder, **settings).key(options) != (
        make_plan(mini_folder).key(options)
    )


def test_run_options_and_processes_count(mini_folder):
    """Precision does, the device does not; two processes are a larger batch."""
    planned = make_plan(mini_folder)
    plain = planned.key(run_options())
    assert (
        planned.key(run_options(device="cuda:1", noprogressbar=True)) == plain
    )
    assert planned.key(run_options(precision="bf16")) != plain
    assert planned.key(run_options(grad_accumulation_factor=2)) != plain
    assert planned.key(run_options(), processes=2) != plain
    assert planned.key(run_options(), processes=1) == plain


TRAINING = [
    path
    for path in sorted((ROOT / "recipes").glob("*/hparams/*.yaml"))
    if "!ref <number_of_epochs>" in path.read_text()
    or "_epochs>" in path.read_text()
]


@pytest.mark.parametrize("path", TRAINING, ids=lambda path: path.stem)
def test_clipping_is_a_key_and_counts(path):
    """Of every recipe that trains: SpeechBrain's 5, which papers don't say."""
    text = str(path)
    settings = hparams.peek(text, "")
    assert settings["max_grad_norm"] == 5.0
    assert identity.counted(text, settings)["max_grad_norm"] == 5.0
    (line,) = [
        x for x in path.read_text().splitlines() if x.startswith("max_grad")
    ]
    assert "SpeechBrain's" in line and "the paper is silent" in line
    with pytest.raises(InputError, match="--max_grad_norm is 0: .*above 0"):
        declarations.check_settings(text, "max_grad_norm: 0")
    given = sb.parse_arguments([text, "--max_grad_norm", "1", "--seed", "2"])
    _, options, overrides = given
    assert "max_grad_norm" not in overrides  # SpeechBrain keeps it for itself
    taken = hparams.with_options(text, options, overrides)
    assert hparams.peek(text, taken)["max_grad_norm"] == 1.0
    assert hparams.peek(text, taken)["seed"] == 2


def test_clipping_is_known_by_one_value(mini_folder):
    """Given as SpeechBrain's option or as a table's setting; 5 over 1 too."""
    plain = make_plan(mini_folder).key(run_options())
    other = make_plan(mini_folder, max_grad_norm=1.0)
    assert other.key(run_options()) != plain
    for value, key in ((1.0, other.key(run_options())), (5.0, plain)):
        options = run_options(max_grad_norm=value)
        taken = hparams.with_options(
            str(HPARAMS), options, "max_grad_norm: 1.0"
        )
        settings = hparams.read_overrides(taken)
        assert make_plan(mini_folder, **settings).key(options) == key


def test_the_brain_clips_at_what_is_said(mini_folder):
    """The file's value, or the command line's."""
    settings = make_plan(mini_folder, max_grad_norm=2.0).settings
    for options, expected in (
        (run_options(), 2.0),
        (run_options(max_grad_norm=3.0), 3.0),
    ):
        brain = sb.Brain(hparams=run_options_of(settings), run_opts=options)
        assert brain.max_grad_norm == expected


def test_labels_count_not_only_ids(mini_folder):
    """One label changed: another split."""
    planned = make_plan(mini_folder)
    before = planned.key(run_options())
    key, entry = next(iter(planned.parts["test"].items()))
    other = "ang" if entry["emotion"] != "ang" else "sad"
    parts = dict(planned.parts)
    parts["test"] = parts["test"] | {key: entry | {"emotion": other}}
    changed = plan.Plan(
        planned.script,
        planned.path,
        planned.overrides,
        planned.settings,
        parts,
        planned.protocol,
    )
    assert changed.key(run_options()) != before


def test_free_settings_inside_objects_do_not_count(mini_folder):
    """ssl_folder is an argument of the encoder; where weights are kept."""
    contents = [
        make_plan(mini_folder, SSL, ssl_folder=name).content(run_options())
        for name in ("here", "there")
    ]
    assert contents[0] == contents[1]
    encoder = contents[0]["hparams"]["encoder"]
    assert encoder == {
        "!apply:speechbrain_ser.lobes.speech_encoder.speech_encoder": {
            "source": "facebook/wav2vec2-base",
            "save_path": None,
            "layer": -1,
            "freeze_feature_extractor": True,
            "frozen_layers": 0,
            "gradient_checkpointing": None,
            "sample_rate": 16000,
        }
    }


def test_a_value_instead_of_an_object_is_a_change(mini_folder):
    """As a folder is where the file makes a model."""
    changed = make_plan(mini_folder, augmenter=None).changes()
    assert "augmenter" in changed and changed["augmenter"] is None
    assert "augmenter" not in make_plan(mini_folder).changes()


def test_facts_are_what_the_split_holds(mini_folder):
    """Counts of each class and part, overrides that differ from the file."""
    planned = make_plan(mini_folder, seed=5, num_workers=2)
    facts = planned.facts(run_options())
    for part, annotation in planned.parts.items():
        words = [entry["emotion"] for entry in annotation.values()]
        assert facts["sizes"][part] == len(words)
        assert facts["counts"][part] == {
            word: words.count(word) for word in ("ang", "hap", "sad", "neu")
        }
    assert facts["overrides"] == {"seed": 5}
    assert facts["protocol"] == ("iemocap-ambiguity@1 with test_size 0.4")
    assert facts["run"] == planned.key(run_options())
    assert len(set(facts["parts_sha256"].values())) == 4


PROGRAM = identity.program


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Copies of the package and of the recipe."""
    folder = tmp_path_factory.mktemp("copied")
    package = os.path.dirname(speechbrain_ser.__file__)
    shutil.copytree(package, folder / "speechbrain_ser")
    shutil.copytree(RECIPE.parent, folder / "recipe")
    return folder


@contextlib.contextmanager
def read_from(tree):
    """The copies are the package, and are read as they are now."""
    home = tree / "speechbrain_ser" / "__init__.py"

    def program(path):
        """Parses each text once."""
        with open(path, encoding="utf-8") as file:
            return parsed(path, file.read())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speechbrain_ser, "__file__", str(home))
        patch.setattr(identity, "program", program)
        patch.setattr(identity, "digest_of", identity.digest_of.__wrapped__)
        yield


@functools.lru_cache(maxsize=None)
def parsed(path, text):
    """Reads a Python file that holds a text."""
    return PROGRAM.__wrapped__(path)


@pytest.fixture(scope="module")
def before(tree):
    """Both versions of the unchanged code."""
    return version(tree)


def version_with(tree, name, text):
    """Both versions of the code with another text of a file."""
    path = tree / name
    original = path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    try:
        return version(tree)
    finally:
        path.write_text(original, encoding="utf-8")


def version(tree):
    """Both versions of the code, read anew."""
    script = str(tree / "recipe" / "train_ipr.py")
    path = str(tree / "recipe" / "hparams" / "ipr_logmel.yaml")
    with read_from(tree):
        return {
            "run": identity.code_version(script, path),
            "report": identity.code_version(script, path, report=True),
        }


@pytest.mark.parametrize(
    "name, changes",
    [
        ("speechbrain_ser/losses.py", "run"),
        ("speechbrain_ser/schedules.py", "run"),
        ("speechbrain_ser/scores.py", "run"),
        ("speechbrain_ser/brain.py", "run"),
        ("speechbrain_ser/prediction.py", "run"),
        ("speechbrain_ser/methods/ipr.py", "run"),
        ("speechbrain_ser/data/batching.py", "run"),
        ("speechbrain_ser/data/parts.py", "run"),
        ("speechbrain_ser/lobes/logmel.py", "run"),
        ("speechbrain_ser/utils/checkpoints.py", "run"),
        ("speechbrain_ser/utils/distributed.py", "run"),
        ("speechbrain_ser/corpora/annotations.py", "run"),
        ("speechbrain_ser/corpora/iemocap.py", "run"),
        ("speechbrain_ser/corpora/mini/voice.py", "run"),
        ("speechbrain_ser/corpora/protocols/ambiguity.py", "run"),
        ("speechbrain_ser/corpora/protocols/iemocap.py", "run"),
        ("recipe/train_ipr.py", "run"),
        ("speechbrain_ser/evaluation/ipr.py", "report"),
        ("speechbrain_ser/evaluation/report.py", "report"),
        ("speechbrain_ser/evaluation/metrics.py", "report"),
        ("speechbrain_ser/evaluation/probing.py", "report"),
        ("speechbrain_ser/figures/curves.py", "report"),
        ("speechbrain_ser/methods/lpmn.py", ""),
        ("speechbrain_ser/evaluation/lpmn.py", ""),
        ("speechbrain_ser/figures/speakers.py", ""),
        ("speechbrain_ser/lobes/ssl.py", ""),
        ("speechbrain_ser/corpora/recola.py", ""),
        ("speechbrain_ser/corpora/protocols/cmu_mosei.py", ""),
        ("speechbrain_ser/corpora/protocols/named.py", ""),
        ("speechbrain_ser/experiment/frame.py", ""),
        ("speechbrain_ser/experiment/hparams.py", ""),
        ("speechbrain_ser/table/spec.py", ""),
        ("speechbrain_ser/utils/errors.py", ""),
    ],
)
def test_a_changed_line_changes_just_the_right_key(name, changes, tree, before):
    """Of the run what is executed until there are predictions, else of what
    is made of them; not what another recipe uses."""
    text = (tree / name).read_text(encoding="utf-8")
    after = version_with(tree, name, text + "\nCHANGED = 1\n")
    different = {kind for kind in before if before[kind] != after[kind]}
    assert different == set(changes.split())


@pytest.mark.parametrize(
    "name",
    [
        "speechbrain_ser/losses.py",
        "speechbrain_ser/evaluation/report.py",
        "recipe/train_ipr.py",
    ],
)
def test_words_about_code_change_no_key(name, tree, before):
    """Comments, docstrings, formatting."""
    text = (tree / name).read_text(encoding="utf-8")
    better = text.replace('"""', '"""Better. ', 1) + "\n\n\n# the end\n"
    assert better != text
    assert version_with(tree, name, better) == before
