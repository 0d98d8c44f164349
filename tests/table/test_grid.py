"""What a table file asks of its recipe is checked before anything runs."""

import json

import pytest

from speechbrain_ser.table.command import main
from speechbrain_ser.utils.errors import InputError
from tests.table.stub import TABLE, run_command, words, write_stub

REPLACED = {
    "setting": ("weak: {system: weak}", "weak: {systemm: weak}"),
    "old setting": ("{system: strong}", "{corpus: small}"),
    "value": ("system: strong", "system: mighty"),
    "same": ("{system: strong}", "{system: weak}"),
    "default": ("{system: strong}", "{number_of_epochs: 4}"),
    "free": ("{system: strong}", "{data_folder: there}"),
    "own": ("{system: strong}", "{output_folder: there}"),
    "metric": ("metric: WA", "metric: WER"),
    "class": ("metric: WA", "metric: recall_hap"),
    "part": ("split: test", "split: tests"),
    "last": ("metric: WA,", "metric: recall_sad, epochs: last,"),
    "seeds split": ("strong}", "strong, split_by_seed: True}"),
    "folds": ("rows:", "folds: {sheets: [1, 2]}\nrows:"),
    "idle folds": ("rows:", "folds: {seconds: [0.01, 0.02]}\nrows:"),
    "all": ("rows:", "overrides: {epochs: 3}\nrows:"),
    "protocol": ("seeds:", "protocol: other@1\nseeds:"),
    "script": ("stub_recipe.py", "stub.yaml"),
    "number": ("{system: strong}", "{number_of_epochs: many}"),
    "switch": ("{system: strong}", "{split_by_seed: 3}"),
    "no switch": ("{system: strong}", "{number_of_epochs: True}"),
    "read part": ("columns:", "reads: {strong: {test: tests}}\ncolumns:"),
    "read row": (
        "columns:",
        "reads: {weak: {test: test_5}}\ncolumns:",
    ),
    "lacking": ("split: test", "split: test_5"),
    "shared": (
        "{system: strong}",
        "{system: strong}\n  more: {system: strong, seconds: 1}\n"
        "reads: {weak: {test: train}}",
    ),
}
SAID = {
    "setting": (6, "no setting systemm (is system meant?)"),
    "old setting": (7, "no setting corpus: corpus is now called corpus_name"),
    "value": (7, "row strong: --system is mighty"),
    "same": (7, "strong"),
    "default": (7, "row strong is the same run as row weak"),
    "free": (7, "row strong is the same run as row weak"),
    "own": (7, "output_folder is set by the table itself"),
    "metric": (9, "no metric WER: give one of WA, UA"),
    "class": (9, "recall_ang, recall_sad"),
    "part": (9, "no part tests: give one of train, test"),
    "last": (9, "for WA, UA, macro_F1, weighted_F1 of test alone"),
    "seeds split": (7, "have different splits"),
    "folds": (5, "no setting sheets"),
    "idle folds": (5, "seconds makes no difference"),
    "all": (5, "no setting epochs"),
    "protocol": (4, "the recipe's protocol is stub@1, not other@1"),
    "script": (2, "stub.yaml"),
    "number": (7, "number_of_epochs is 4 in"),
    "switch": (7, "3 is no switch"),
    "no switch": (7, "True is no number"),
    "read part": (
        8,
        "no part tests: give one of train, test, test_5",
    ),
    "read row": (8, "in row weak the recipe has no part test_5"),
    "lacking": (9, "in row weak the recipe has no part test_5"),
    "shared": (8, "row more is the same run as row strong"),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for the stub's table."""
    monkeypatch.setenv("STUB_LEDGER", str(tmp_path / "ledger"))
    write_stub(tmp_path)
    return tmp_path


def planned(folder, *arguments):
    """Plans in this process; returns the jobs."""
    from speechbrain_ser.table.command import choose, find_settings, parse
    from speechbrain_ser.table.grid import import_recipe, make_jobs
    from speechbrain_ser.table.spec import read_table

    options, rest = parse([str(folder / "stub_table.yaml"), *arguments])
    options.results_folder = str(folder / "results")
    file = read_table(options.table)
    settings = find_settings(options, rest, file)
    choose(file, options)
    return make_jobs(file, settings, import_recipe(file))


@pytest.mark.parametrize("what", REPLACED)
def test_bad_tables_are_refused_with_their_line(what, folder):
    """One sentence, and no results folder."""
    old, new = REPLACED[what]
    assert old in TABLE
    write_stub(folder, TABLE.replace(old, new))
    line, words = SAID[what]
    with pytest.raises(InputError) as refused:
        planned(folder)
    assert str(refused.value).startswith(
        f"{folder / 'stub_table.yaml'}, line {line}"
    ), refused.value
    assert words in str(refused.value)
    assert not (folder / "results").exists()


def test_errors_of_the_command_are_one_sentence(folder):
    """Code 1, on standard error, without a traceback."""
    done = run_command(folder, "--system", "weak")
    assert done.returncode == 1
    assert done.stderr.startswith("error: --system can't be given for all rows")
    assert len(done.stderr.splitlines()) == 1
    for arguments, said in (
        (["--seed", "3"], "--seed can't be given for all rows"),
        (["--nonsense", "3"], "nonsense"),
        (["--corpus", "small"], "corpus is now called corpus_name"),
        (["--taught", "all"], "no setting taught"),
        (["--number_of_epoch", "3"], "(is number_of_epochs meant?)"),
        (["--number_of_epochs", "two"], "'two' is no number"),
        (["nonsense"], "'nonsense' is no setting: give each as --name value"),
        (["--number_of_epochs", "[a"], "'[a' is no number"),
        (["--hparams", "nowhere.yaml"], "no hparams file nowhere.yaml"),
    ):
        with pytest.raises(InputError) as refused:
            main(words(folder, *arguments))
        assert said in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1
    assert not (folder / "ledger").exists()


def test_the_grid_is_rows_by_folds_by_seeds(folder):
    """Each with its own folder; the recipe is given all that makes it."""
    table = TABLE.replace("rows:", "folds: {fold: [1, 2]}\nrows:")
    write_stub(folder, table)
    jobs = planned(folder, "--number_of_epochs", "7", "--debug")
    assert [(j.run.row, j.run.fold, j.run.seed) for j in jobs] == [
        (row, fold, seed)
        for row in ("weak", "strong")
        for fold in (1, 2)
        for seed in (1, 2, 3)
    ]
    assert len({job.run.folder for job in jobs}) == 12
    assert len({job.run.key for job in jobs}) == 12
    words = jobs[-1].command
    given = dict(zip(words[2:-2:2], words[3:-2:2]))
    assert given == {
        "--output_folder": jobs[-1].run.folder,
        "--system": '"strong"',
        "--fold": "2",
        "--seed": "3",
        "--number_of_epochs": "7",
    }
    assert words[-2:] == ["--debug", "--noprogressbar"]


def test_the_key_is_what_decides_the_result(folder):
    """Another place of the data is the same run; another length is not."""
    keys = [job.run.key for job in planned(folder)]
    assert keys == [job.run.key for job in planned(folder, "--seconds", "9")]
    longer = planned(folder, "--number_of_epochs", "5")
    assert not set(keys) & {job.run.key for job in longer}


def test_without_data_two_seeds_and_two_folds(folder):
    """As every recipe: the mini corpus, in minutes."""
    write_stub(
        folder, TABLE.replace("rows:", "folds: {fold: [1, 2, 3]}\nrows:")
    )
    assert len(planned(folder)) == 18
    assert len(planned(folder, "--data_folder", "null")) == 8


def test_a_table_of_the_mini_corpus_has_all_its_seeds(folder):
    """It says so itself; the command line's name is another matter."""
    own = "overrides: {corpus_name: mini, data_folder: null}\nrows:"
    write_stub(folder, TABLE.replace("rows:", own))
    assert len(planned(folder)) == 6
    write_stub(folder, TABLE.replace("rows:", own.replace("mini", "other")))
    assert len(planned(folder)) == 4


def test_the_command_line_chooses_seeds_and_folds(folder):
    """Each once; of a table without folds none can be chosen."""
    words = TABLE.replace("rows:", "folds: {fold: [1, 2, Ses03]}\nrows:")
    write_stub(folder, words)
    for arguments, seeds, folds in (
        (["--folds", "2"], [1, 2, 3], [2]),
        (["--folds", "Ses03", "1", "1"], [1, 2, 3], ["Ses03", 1]),
        (["--seeds", "5", "4", "5", "--folds", "7"], [5, 4], [7]),
        (["--seeds", "9"], [9], [1, 2, "Ses03"]),
    ):
        jobs = planned(folder, *arguments)
        assert [(j.run.row, j.run.fold, j.run.seed) for j in jobs] == [
            (row, fold, seed)
            for row in ("weak", "strong")
            for fold in folds
            for seed in seeds
        ]
        given = jobs[0].command
        assert given[given.index("--fold") + 1] == json.dumps(folds[0])
    # on the mini corpus two of those that are chosen
    few = ("--data_folder", "null", "--folds", "3", "2", "1", "--seeds", "1")
    assert [job.run.fold for job in planned(folder, *few)] == [3, 2] * 2
    write_stub(folder)
    with pytest.raises(InputError) as refused:
        planned(folder, "--folds", "1")
    where = folder / "stub_table.yaml"
    assert str(refused.value) == f"--folds can't be given: {where} has no folds"


def test_a_table_of_sizes_trains_nothing(folder):
    """Only n: the numbers come from the split."""
    table = TABLE[: TABLE.index("rows:")].replace("[1, 2, 3]", "1") + (
        "rows:\n  stub: {}\ncolumns:\n"
        "  all: {metric: n, split: [train, test]}\n"
        "  D3: {metric: n, split: test}\n"
    )
    write_stub(folder, table)
    done = run_command(folder)
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if "stub " in line)
    assert row.split()[:3] == ["stub", "28", "20"]
    assert not (folder / "ledger").exists()


def test_broken_results_elsewhere_are_passed_over(folder):
    """Whatever lies in the results folder."""
    results = folder / "results" / "junk"
    results.mkdir(parents=True)
    for i, text in enumerate(["{", "[]", "3", json.dumps({"run": "x"})]):
        (results / str(i)).mkdir()
        (results / str(i) / "metrics.json").write_text(text)
    assert {job.run.status for job in planned(folder)} == {"missing"}


SHARED = TABLE.replace(
    "columns:",
    "  strong-5: {system: strong, seconds: 0.02}\n"
    "  strong-2: {system: strong}\nreads:\n"
    "  strong-5: {test: test_5}\n"
    "  strong-2: {test: test_2}\ncolumns:",
)


def test_rows_that_read_other_parts_of_a_run_are_one_run(folder):
    """Planned once, and named with all its rows."""
    write_stub(folder, SHARED)
    jobs = planned(folder)
    assert [(job.run.rows, job.run.seed) for job in jobs] == [
        (rows, seed)
        for rows in (("weak",), ("strong", "strong-5", "strong-2"))
        for seed in (1, 2, 3)
    ]
    assert jobs[0].run.name == "weak, seed 1"
    assert jobs[3].run.name == "strong (also strong-5, strong-2), seed 1"
    assert len({job.run.key for job in jobs}) == 6


def test_folds_that_are_the_protocols_own(folder):
    """Its name is the same in all folds, each with a split of its own."""
    table = TABLE.replace(
        "rows:",
        "folds: {fold: [1, 2, 3, 4, 5]}\noverrides: {loso: True}\n"
        "protocol: stub-loso@1\nrows:",
    )
    write_stub(folder, table)
    jobs = planned(folder)
    assert len(jobs) == 2 * 5 * 3
    assert {job.plan.protocol for job in jobs} == {"stub-loso@1"}
    splits = {(job.run.fold, job.plan.split) for job in jobs}
    assert len(splits) == len({split for _, split in splits}) == 5
    # the fold is in the full name of this one, and no other protocol for it
    write_stub(folder, table.replace("True", "False").replace("-loso", ""))
    names = {job.plan.protocol for job in planned(folder)}
    assert names == {f"stub@1 with fold {fold}" for fold in range(1, 6)}


def test_a_plan_says_what_its_report_adds(monkeypatch):
    """Parts of the test's utterances: no other split, known sizes."""
    from speechbrain_ser.experiment import plan

    monkeypatch.setattr(plan.Plan, "content", lambda *_: CONTENT)
    monkeypatch.setattr(plan.Plan, "report_content", lambda *_: {})
    monkeypatch.setattr(plan.Plan, "changes", lambda _: {})
    parts = {
        "train": {name: {"emotion": "ang"} for name in "abc"},
        "test": {"d": {"emotion": "sad"}, "e": {"emotion": "ang"}},
    }
    settings = {"corpus_name": "c", "labels": ["ang", "sad"], "seed": 1}
    more = ("test_512", "test_200")
    plain, made = (
        plan.Plan("s", "h.yaml", "", settings, parts, "p@1", *names)
        for names in ((), (more,))
    )
    assert made.split == plain.split and plain.more_parts == ()
    facts, before = made.facts(None), plain.facts(None)
    assert list(made.parts) == ["train", "test"]
    assert before["sizes"] == {"train": 3, "test": 2}
    assert facts["sizes"] == before["sizes"] | dict.fromkeys(more, 2)
    for name in ("counts", "parts_sha256"):
        of_test = dict.fromkeys(more, before[name]["test"])
        assert facts[name] == before[name] | of_test


CONTENT = {"run_options": {}, "processes": 1, "files": {}, "code": "c0de"}
