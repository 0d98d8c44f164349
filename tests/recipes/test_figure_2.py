"""Figure 2 of DANN and MEnAN, as the table command makes it: runs find each other."""

import json

import numpy as np
import pytest

from speechbrain_ser.evaluation import dann, menan
from speechbrain_ser.table import command
from speechbrain_ser.table.beside import pairs
from speechbrain_ser.table.grid import Job
from speechbrain_ser.table.layout import Run
from speechbrain_ser.utils.errors import InputError
from tests.recipes.dann_runs import make_folders
from tests.recipes.helpers import DANN, LPMN, MENAN, undrawn
from tests.recipes.here import Here
from tests.table.runs import table_file

TABLE = """\
title: Two systems
script: {script}
hparams: {hparams}
seeds: [1]
rows:
  ours: {ours}
  other: {other}
compared: {{ours: other}}
columns: {{UA (%): {{metric: UA, split: test}}}}
"""
SMALL = {"device": "cpu", "number_of_epochs": 1, "last_epochs": 1}
OF = {
    "MEnAN": (MENAN, "menan_small.yaml", "{}", "{system: multitask}"),
    "DANN": (DANN, "dann.yaml", "{}", "{system: base}"),
}
SETTINGS = {
    "MEnAN": {
        "duration": 1.5,
        "channels": 8,
        "speaker_steps": 2,
        "speaker_probe": False,
    },
    "DANN": {"n_filters": 16},
}
ROOMS = {"MEnAN": (menan, "plot_speakers"), "DANN": (dann, "plot_languages")}


@pytest.fixture
def folders(tmp_path_factory, mini_recola_folder):
    """Where each recipe's corpora and features are."""
    home = tmp_path_factory.getbasetemp()
    two = make_folders(tmp_path_factory, mini_recola_folder)
    cache = ["--cache_folder", str(home / "log_mel")]
    return {
        "MEnAN": ["--data_folder", two["iemocap_folder"], *cache],
        "DANN": [word for k, v in two.items() for word in (f"--{k}", v)]
        + cache,
    }


@pytest.fixture
def drawn(monkeypatch):
    """The systems of each Figure 2 that was drawn, nothing else is."""
    found = []
    undrawn(monkeypatch)
    for room, name in ROOMS.values():
        plot = getattr(room, name)

        def noted(path, systems, *args, plot=plot, **kwargs):
            """Stands in for the figure."""
            found.append(systems)
            return plot(path, systems, *args, **kwargs)

        monkeypatch.setattr(room, name, noted)
    return found


def write_table(folder, method):
    """A table file of two rows; the compared one is made last."""
    script, hparams, ours, other = OF[method]
    hparams = script.parent / "hparams" / hparams
    path = folder / "two.yaml"
    path.write_text(
        TABLE.format(script=script, hparams=hparams, ours=ours, other=other)
    )
    return path


def runs_of(results):
    """System to metrics and folder of its run."""
    return {
        held["system"]: (held, path.parent)
        for path in results.glob("runs/*/*/metrics.json")
        for held in [json.loads(path.read_text())]
    }


@pytest.mark.parametrize("method", OF)
def test_runs_of_a_table_find_each_other(
    method, folders, drawn, tmp_path, monkeypatch
):
    """Ours was first: it is reported anew beside the other, trained once."""
    line = [str(write_table(tmp_path, method)), *folders[method]]
    line += ["--results_folder", str(tmp_path / "results")]
    for name, value in (SMALL | SETTINGS[method]).items():
        line += [f"--{name}", str(value)]
    workers = Here(monkeypatch)
    monkeypatch.setattr(command, "make_workers", lambda options: workers)
    assert command.main(line) == 0
    assert workers.made == ["ours", "other", "ours"]
    runs = runs_of(tmp_path / "results")
    (other,) = {"multitask", "base"} & set(runs)
    (ours,) = set(runs) - {other}
    (metrics, folder), (beside, at) = runs[ours], runs[other]
    assert metrics["compared"] == beside["run"] != metrics["run"]
    assert "compared" not in beside
    assert (folder / "log.txt").read_text().count("epoch 1/1:") == 1
    shown, own = drawn[-1].values()
    (row,) = at.glob("*.npz")
    with np.load(row) as held:
        assert np.array_equal(shown["embeddings"], held["embeddings"])
    assert not np.array_equal(shown["embeddings"], own["embeddings"])
    # it is all there: nothing is made again
    assert command.main(line) == 0
    assert len(workers.made) == 3


def test_pairs_are_of_one_fold_and_seed():
    """Of rows that share a run too; a row that is not there has none."""
    file = table_file(["a", "b", "c"], compared={"a": "b", "c": "gone"})
    jobs = [
        Job(Run(row, fold, seed, f"{row}{fold}{seed}", ""), None, [], [])
        for row in ("a", "b")
        for fold in (1, 2)
        for seed in (3, 4)
    ]
    jobs[0].run.more_rows = ("c",)
    found = [(row, x.run.key, y.run.key) for row, x, y in pairs(file, jobs)]
    assert found == [("a", f"a{at}", f"b{at}") for at in (13, 14, 23, 24)]
    jobs[4].run.more_rows, jobs[0:1] = ("a",), []  # one run for both rows
    assert len(pairs(file, jobs)) == 3


@pytest.mark.parametrize(
    "method, changes, said",
    [
        (
            "DANN",
            ("{ours: other}", "{ours: nobody}"),
            "there is no row 'nobody'",
        ),
        ("DANN", ("{ours: other}", "{ours: ours}"), "'ours' is beside itself"),
        (
            "MEnAN",
            ("ours: {}", "ours: {compared_folder: a}"),
            "row ours has a compared_folder of its own",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    method, changes, said, folders, tmp_path
):
    """With the line of the table file."""
    path = write_table(tmp_path, method)
    path.write_text(path.read_text().replace(*changes))
    with pytest.raises(InputError, match=f"two.yaml, line [0-9]+: {said}"):
        command.main([str(path), "--dry_run", *folders[method]])


def test_a_recipe_that_draws_no_other_run_is_refused(mini_folder, tmp_path):
    """LPMN's has no such setting."""
    path = tmp_path / "two.yaml"
    hparams = LPMN.parent / "hparams" / "lpmn_logmel.yaml"
    other = "{pooling: average}"
    path.write_text(
        TABLE.format(script=LPMN, hparams=hparams, ours="{}", other=other)
    )
    with pytest.raises(InputError, match="no setting compared_folder"):
        command.main([str(path), "--data_folder", mini_folder])
