"""Rows with a script and hparams file of their own."""

import json

import pytest

from speechbrain_ser.table.spec import read_table
from speechbrain_ser.utils.errors import InputError
from tests.table.stub import (
    CROSS,
    CROSS_HPARAMS,
    HPARAMS,
    TABLE,
    check_ledger,
    pages,
    run_command,
    starts,
    write_stub,
)
from tests.table.test_grid import planned

# A reference: another script, no epochs to set, and nothing drawn.
OWN = HPARAMS.replace("number_of_epochs: 4\n", "") + "reference: True\n"
ROWS = TABLE.replace(
    "columns:",
    "  probe: {script: plain.py, hparams: plain.yaml}\n"
    "  wide probe: {script: plain.py, hparams: plain.yaml, split_by_seed: False,"
    " system: strong}\ncolumns:",
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder for the stub's table and its reference."""
    monkeypatch.setenv("STUB_LEDGER", str(tmp_path / "ledger"))
    write(tmp_path)
    return tmp_path


def write(folder, table=ROWS, hparams=HPARAMS, own=OWN):
    """Writes both recipes and the table."""
    write_stub(folder, table, hparams)
    text = (folder / "stub_recipe.py").read_text()
    # the stub's main wants epochs
    text = text.replace(
        'settings["number_of_epochs"]', 'settings.get("number_of_epochs", 1)'
    )
    (folder / "plain.py").write_text(text)
    (folder / "plain.yaml").write_text(own)


def test_a_row_runs_its_own_recipe_once_for_all_seeds(folder):
    """By the same command; what is set for all rows it may not know."""
    write(folder, ROWS.replace("rows:", "overrides: {seconds: 0.02}\nrows:"))
    jobs = planned(folder, "--number_of_epochs", "3")
    assert len(jobs) == 3 + 3 + 1 + 1
    probe = jobs[6]
    assert probe.run.row == "probe" and probe.run.seeds == (1, 2, 3)
    assert probe.run.name == "probe, seeds 1, 2, 3"
    assert [path.split("/")[-1] for path in probe.recipe] == [
        "plain.py",
        "plain.yaml",
    ]
    assert "/runs/plain/" in probe.run.folder
    words = probe.command
    given = dict(zip(words[2:-1:2], words[3:-1:2]))
    assert given == {
        "--output_folder": probe.run.folder,
        "--seconds": "0.02",
        "--seed": "1",
    }
    assert "--number_of_epochs" in jobs[0].command
    done = run_command(folder, "--number_of_epochs", "3")
    assert done.returncode == 0, done.stderr
    check_ledger(folder, 8)
    page = pages(folder, "stub+number_of_epochs=3")["table.md"].decode()
    assert "Recipe: stub_recipe.py with stub.yaml" in page
    named = (
        "Row probe: plain.py with plain.yaml, which has no number_of_epochs."
    )
    assert named in page
    assert "probe, wide probe: nothing is drawn there" in page
    runs = pages(folder, "stub+number_of_epochs=3")["runs.csv"].decode()
    assert sum(line.startswith("probe,") for line in runs.splitlines()) == 1
    # another seed is no other run
    before = starts(folder)
    again = run_command(folder, "--number_of_epochs", "3", "--seeds", "9")
    assert again.returncode == 0, again.stderr
    assert starts(folder) == before + 2


def test_its_numbers_stand_beside_those_of_each_seed(folder):
    """A test over seeds compares with the one run."""
    from speechbrain_ser.table.cells import fill

    write(folder, ROWS.replace("[1, 2, 3]", "[1, 2, 3, 4, 5, 6, 7, 8]"))
    run_command(folder)
    jobs = planned(folder)
    file = read_table(str(folder / "stub_table.yaml"))
    file.stars = {"*": ("probe",)}
    table = fill(file, [job.run for job in jobs], ["ang", "sad"])
    cell = table.cells["probe", "Acc"]
    assert (cell.runs, cell.planned, cell.problems) == (1, 1, [])
    assert len(set(cell.values)) == 1
    strong = table.cells["strong", "Acc"]
    assert strong.tested == {"probe": 8}
    metrics = json.load(open(f"{jobs[16].run.folder}/metrics.json"))
    assert cell.mean == 100 * metrics["metrics"]["test"]["WA"]


def test_folds_and_conditions_are_those_of_all_rows(folder):
    """One run a fold; conditions are set there too."""
    write(folder, ROWS.replace("rows:", "folds: {fold: [1, 2]}\nrows:"))
    jobs = planned(folder)
    assert len(jobs) == 6 + 6 + 2 + 2
    assert {job.run.fold for job in jobs if job.run.row == "probe"} == {1, 2}
    more = "  probe: {script: plain.py, hparams: plain.yaml}\ncolumns:"
    own = CROSS_HPARAMS + "reference: True\n"
    write(folder, CROSS.replace("columns:", more), CROSS_HPARAMS, own)
    jobs = planned(folder)
    assert len(jobs) == 9 + 9 + 3


# Name -> what is replaced in `ROWS`, by what, the line and the sentence.
REFUSED = {
    "no hparams": (
        "probe: {script: plain.py, hparams: plain.yaml}",
        "probe: {script: plain.py}",
        8,
        "give the row's hparams too",
    ),
    "no file": (
        "probe: {script: plain.py,",
        "probe: {script: plane.py,",
        8,
        "plane.py: give its path from the table's folder",
    ),
    "no text": (
        "probe: {script: plain.py, hparams: plain.yaml}",
        "probe: {hparams: [plain.yaml]}",
        8,
        "give a text on one line",
    ),
    "no script": (
        "probe: {script: plain.py,",
        "probe: {script: plain.yaml,",
        8,
        "is no Python file",
    ),
    "no recipe": (
        "probe: {script: plain.py,",
        "probe: {script: other.py,",
        8,
        "has no function plan(path, overrides)",
    ),
    "its setting": (
        "hparams: plain.yaml}",
        "hparams: plain.yaml, number_of_epochs: 3}",
        8,
        "plain.yaml has no setting number_of_epochs",
    ),
    "nobody's setting": (
        "rows:",
        "overrides: {epochs: 3}\nrows:",
        5,
        "no setting epochs",
    ),
    "twice": (
        ", split_by_seed: False, system: strong}",
        "}",
        9,
        "is the same as row 'probe'",
    ),
    "same run": (
        ", system: strong}",
        "}",
        9,
        "row wide probe is the same run as row probe",
    ),
    "fold": (
        "rows:",
        "folds: {number_of_epochs: [1, 2]}\nrows:",
        5,
        "plain.yaml has no setting number_of_epochs",
    ),
    "protocol": (
        "hparams: plain.yaml}",
        "hparams: plain.yaml, loso: True}",
        8,
        "row probe has the protocol stub-loso@1, row weak has stub@1",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(what, folder):
    """With the row's line, before anything runs."""
    old, new, line, said = REFUSED[what]
    assert old in ROWS
    (folder / "other.py").write_text("")
    write(folder, ROWS.replace(old, new, 1))
    with pytest.raises(InputError) as refused:
        planned(folder)
    place = f"{folder / 'stub_table.yaml'}, line {line}: "
    assert str(refused.value).startswith(place), refused.value
    assert said in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_hparams_alone_are_of_the_tables_script(folder):
    """Another file of the same recipe."""
    (folder / "more.yaml").write_text(
        HPARAMS.replace("number_of_epochs: 4", "number_of_epochs: 2")
    )
    write(folder, TABLE.replace("{system: strong}", "{hparams: more.yaml}"))
    jobs = planned(folder)
    assert [path.split("/")[-1] for path in jobs[3].recipe] == [
        "stub_recipe.py",
        "more.yaml",
    ]
    # --hparams is for the rows that name none
    (folder / "else.yaml").write_text(HPARAMS)
    jobs = planned(folder, "--hparams", str(folder / "else.yaml"))
    assert [job.recipe[1].split("/")[-1] for job in jobs[::3]] == [
        "else.yaml",
        "more.yaml",
    ]


def test_a_metric_that_the_reference_lacks_is_no_error(folder):
    """Its cell is empty, and a note says why."""
    table = ROWS.replace(
        "stars:",
        "  error: {metric: valence_MSE, split: test, better: lower}\nstars:",
    )
    write(folder, table)
    text = (folder / "plain.py").read_text()
    lacking = text.replace('METRICS = ("valence_MSE",)', "METRICS = ()")
    (folder / "plain.py").write_text(lacking)
    done = run_command(folder)
    assert done.returncode == 0, done.stderr
    said = "error: nothing for probe, wide probe, whose recipe reports no"
    assert f"{said} valence_MSE." in pages(folder)["table.md"].decode()
