"""Tables whose columns are other experiments: file, grid and pages."""

import csv
import json
import re

import numpy as np
import pytest
from scipy import stats

from speechbrain_ser.table import grid, grid_checks
from speechbrain_ser.table.command import find_settings, parse
from speechbrain_ser.table.spec import read_table
from speechbrain_ser.utils.errors import InputError
from tests.table.stub import (
    CROSS,
    CROSS_HPARAMS,
    TABLE,
    check_ledger,
    run_command,
    write_stub,
)

FOLDERS = '\n\nCORPUS_FOLDERS = ("first_folder", "second_folder")\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for the stub's table of conditions."""
    monkeypatch.setenv("STUB_LEDGER", str(tmp_path / "ledger"))
    write_stub(tmp_path, CROSS, CROSS_HPARAMS)
    return tmp_path


def planned(folder, *arguments):
    """Plans in this process; returns the file and the jobs."""
    options, rest = parse([str(folder / "stub_table.yaml"), *arguments])
    options.results_folder = str(folder / "results")
    file = read_table(options.table)
    settings = find_settings(options, rest, file)
    return file, grid.make_jobs(file, settings, grid.import_recipe(file))


# The file and its refusals


def test_the_file_is_read(folder):
    """Conditions stand where folds may stand."""
    file = read_table(folder / "stub_table.yaml")
    names = ["there arousal", "there valence", "back arousal"]
    assert list(file.conditions) == file.folds == names
    assert file.fold_setting is None
    assert file.settings_of("back arousal") == {
        "direction": "back",
        "task": "arousal",
    }
    assert [column.condition for column in file.columns.values()] == [
        *names,
        None,
    ]
    assert file.where_fold("there valence").endswith("table.yaml, line 7")
    empty = write_stub(folder, TABLE + "conditions:\n")
    assert read_table(empty).conditions == {}
    assert read_table(empty).folds == [None]


BACK = "back arousal: {direction: back, task: arousal}"
AVERAGE = "average: {metric: UA, split: test}"
# What is replaced in the file, by what, the line and words of the error.
REFUSED = [
    ("rows:", "folds: {fold: [1, 2]}\nrows:", 5, "folds and conditions: keep"),
    ("weak}\n  s", "weak, task: valence}\n  s", 10, "'task' is set by condit"),
    ("rows:", "overrides: {task: a}\nrows:", 9, "'task' is set by condit"),
    ("{direction: back, t", "{seed: 1, t", 8, "'seed' is set by seeds"),
    ("{direction: back, t", "{direction: {a: b}, t", 8, "'direction' is {'a"),
    (BACK, "back arousal: back", 8, "'back arousal' is 'back': give"),
    (BACK, "back arousal: [a]", 8, "give settings"),
    (
        BACK,
        "back arousal: {task: valence, direction: there}",
        8,
        "'back arousal' is the same as condition 'there valence': give",
    ),
    ("ition: back arousal", "ition: back arosal", 15, "write back arousal"),
    ("ition: back arousal", "ition: [a]", 15, "no condition empty"),
    ("UA, split: test}", "n, split: test}", 16, "no mean over"),
    (AVERAGE, AVERAGE[:-1] + ", folds: pooled}", 16, "to pool: delete this$"),
    (
        CROSS[CROSS.index("conditions:") : CROSS.index("rows:")],
        "",
        9,
        "no conditions: delete this",
    ),
    # what the recipe says to it
    ("{direction: back", "{direktion: back", 8, "no setting direktion.*is di"),
    ("{direction: back", "{number_of_epochs: back", 8, "'back' is no number"),
    ("{direction: back", "{save_folder: back", 8, "set by the table itself"),
    (
        "{direction: back, task: arousal}",
        "{direction: back, task: arosal}",
        10,
        "row weak, condition back arousal: --task is arosal",
    ),
    (
        BACK,
        "back arousal: {seconds: 9}",
        8,
        "weak, condition back arousal, seed 1, is the same run as weak, "
        "condition there arousal, seed 1: the condition makes no difference",
    ),
    (
        "seeds:",
        "overrides: {split_by_seed: True}\nseeds:",
        11,
        "weak, condition there arousal, seed 1, and weak, condition there aro",
    ),
    (
        "seeds:",
        "protocol: stub-back@1\nseeds:",
        4,
        "protocol is stub@1 in condition there arousal, not stub-back@1",
    ),
    (
        "seeds:",
        "protocol: stub@1\nseeds:",
        4,
        "protocol is stub-back@1 in condition back arousal, not stub@1",
    ),
    (
        "UA, split: test}",
        "recall_ang, split: test}",
        16,
        "recall_low, ",
    ),
    (
        "UA, split: test}",
        "recall_low, split: test}",
        16,
        "recall_ang, ",
    ),
    (
        "{metric: UA, split: test, condition: there v",
        "{metric: recall_ang, split: test, condition: there v",
        14,
        "recall_low, recall_high",
    ),
    (
        "{metric: UA, split: test, condition: there v",
        "{metric: UA, split: tests, condition: there v",
        14,
        "no part tests",
    ),
]


@pytest.mark.parametrize("old, new, line, words", REFUSED)
def test_bad_conditions_are_refused_with_their_line(
    old, new, line, words, folder
):
    """One sentence."""
    assert CROSS.count(old) == 1
    write_stub(folder, CROSS.replace(old, new), CROSS_HPARAMS)
    with pytest.raises(InputError) as refused:
        planned(folder)
    start = f"{folder / 'stub_table.yaml'}, line {line}"
    said = str(refused.value)
    assert re.match(rf"{re.escape(start)}\b", said), said
    assert re.search(words, said), said


def test_the_command_line_sets_no_condition(folder):
    """Nor can a condition be set for all."""
    with pytest.raises(InputError, match="--task can't be given for all rows"):
        planned(folder, "--task", "valence")


def test_a_class_of_one_condition_has_its_column(folder):
    """And n is counted in one."""
    table = CROSS.replace(
        AVERAGE,
        "low: {metric: recall_low, split: test, "
        "condition: there valence}\n"
        "  n: {metric: n, split: train, condition: back arousal}",
    )
    write_stub(folder, table, CROSS_HPARAMS)
    assert len(planned(folder)[1]) == 18


# The grid


def test_the_grid_is_rows_by_conditions_by_seeds(folder):
    """Each run is given its condition's settings, and named by it."""
    file, jobs = planned(folder)
    assert [(j.run.row, j.run.fold, j.run.seed) for j in jobs] == [
        (row, condition, seed)
        for row in ("weak", "strong")
        for condition in file.conditions
        for seed in (1, 2, 3)
    ]
    assert len({job.run.key for job in jobs}) == 18
    words = jobs[-1].command
    given = dict(zip(words[2:-1:2], words[3:-1:2]))
    assert given == {
        "--output_folder": jobs[-1].run.folder,
        "--system": '"strong"',
        "--direction": '"back"',
        "--task": '"arousal"',
        "--seed": "3",
    }
    assert jobs[-1].run.name == "strong, condition back arousal, seed 3"
    assert jobs[-1].plan.protocol == "stub-back@1"
    assert jobs[0].plan.protocol == "stub@1"


def test_a_condition_has_one_protocol(folder):
    """The changes that its settings make of the name are no other one."""
    file, jobs = planned(folder)
    for job in jobs:
        task = job.plan.settings["task"]
        job.plan.protocol = f"p@1 with share 0.2, task {task}"
    file.protocol = "p@1"
    grid_checks.check_protocols(file, jobs)
    assert file.protocol_of(jobs[3].run.fold, jobs[3].plan.protocol) == (
        "p@1 with share 0.2"
    )
    jobs[4].plan.protocol = "p@1 with share 0.3"
    with pytest.raises(InputError) as refused:
        grid_checks.check_protocols(file, jobs)
    assert str(refused.value).endswith(
        "line 7: weak, condition there valence, seed 2, has the protocol p@1 "
        "with share 0.3, other seeds have p@1 with share 0.2: they can't be "
        "averaged"
    )


@pytest.mark.parametrize(
    "arguments, seeds",
    [
        ([], 2),
        (["--first_folder", "here"], 3),
        (["--second_folder", "here"], 3),
        (["--data_folder", "null"], 2),
    ],
)
def test_a_recipe_names_its_corpora(folder, capsys, arguments, seeds):
    """Without all of them two seeds are kept, and every condition."""
    with open(folder / "stub_recipe.py", "a", encoding="utf-8") as script:
        script.write(FOLDERS)
    grid.say_once.cache_clear()
    file, jobs = planned(folder, *arguments)
    assert len(file.folds) == 3 and len(file.seeds) == seeds
    assert len(jobs) == 2 * 3 * seeds
    said = "No --first_folder and no --second_folder: the first 2 seeds alone, "
    assert (said in capsys.readouterr().out) == (seeds == 2)


def test_the_default_corpus_is_the_data_folder(folder):
    """As for every recipe that does not say."""
    assert len(planned(folder)[1]) == 18
    assert len(planned(folder, "--data_folder", "null")[1]) == 12
    # a recipe without it may have its corpora: nothing is left out
    hparams = CROSS_HPARAMS.replace("data_folder: here\n", "")
    assert hparams != CROSS_HPARAMS
    write_stub(folder, CROSS, hparams)
    assert len(planned(folder)[1]) == 18


# The pages


def test_a_table_of_conditions_is_made(folder):
    """Every format has the numbers that the runs' files give by hand."""
    paper = "paper:\n  source: S\n  average: {weak: 58.87}\n"
    write_stub(folder, CROSS + paper, CROSS_HPARAMS)
    made = run_command(folder, "--jobs", "2")
    assert made.returncode == 0, made.stderr
    check_ledger(folder, 18)
    where = next((folder / "results" / "tables").rglob("table.csv")).parent
    texts = {path.name: path.read_text() for path in where.iterdir()}
    cells = {
        (line["row"], line["column"]): line
        for line in csv.DictReader(texts["table.csv"].splitlines())
    }
    runs = list(csv.DictReader(texts["runs.csv"].splitlines()))
    assert len(runs) == 18
    own = {}
    for run in runs:
        text = (where / run["folder"] / "metrics.json").read_text()
        ua = 100 * json.loads(text)["metrics"]["test"]["UA"]
        own[run["row"], run["condition"], int(run["seed"])] = ua
        # a run stands in its condition's column, and in the average's
        column = run["condition"].replace("back arousal", "back")
        shown = {name for _, name in cells if run[name]}
        assert shown == {column, "average"}
        assert float(run[column]) == float(run["average"]) == ua
    names = {"there arousal": ["there arousal"], "back": ["back arousal"]}
    names["there valence"] = ["there valence"]
    names["average"] = ["there arousal", "there valence", "back arousal"]
    for (row, column), cell in cells.items():
        values = [
            np.mean([own[row, name, seed] for name in names[column]])
            for seed in (1, 2, 3)
        ]
        assert float(cell["mean"]) == pytest.approx(np.mean(values), abs=1e-6)
        std = np.std(values, ddof=1)
        assert float(cell["std"]) == pytest.approx(std, abs=1e-6)
        assert cell["unit"] == "seeds" and "folds" not in cell
        condition = "" if column == "average" else names[column][0]
        assert cell["condition"] == condition
        shown = f"{np.mean(values):.2f} ± {std:.2f}"
        assert shown in texts["table.md"]
        assert shown in texts["table.html"]
        assert shown in made.stdout
        assert shown.replace("±", r"$\pm$") in texts["table.tex"]
        half = stats.t.ppf(0.975, 2) * std / np.sqrt(3)
        low, high = np.mean(values) - half, np.mean(values) + half
        interval = f"[{low:.2f}, {high:.2f}]"
        assert interval in made.stdout
        assert all(interval in texts[f"table.{e}"] for e in ("md", "html"))
    for text in (made.stdout, texts["table.md"], texts["table.tex"]):
        assert "Conditions: there arousal (direction there, task" in text
        assert "58.87" in text
    page = texts["table.html"]
    assert '<th scope="col">condition</th>' in page
    assert "<dt>set in condition back arousal</dt>" in page
    assert "<dd>direction: back, task: arousal</dd>" in page
    assert page.count("each seed</figcaption>") == 4
    # the classes of valence are others
    assert "Confusion matrices" not in page
    assert "protocol stub-back@1, split" in made.stdout
    again = run_command(folder)
    assert again.stdout == made.stdout
