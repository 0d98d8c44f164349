"""Stages: found again by their inputs, made once, and nothing is lost."""

import json
import os
import subprocess
import sys

import pytest

from speechbrain_ser.experiment.run_folder import claim_folder
from speechbrain_ser.experiment.stages import (
    Stage,
    changes,
    make_room,
    tell_changes,
)
from speechbrain_ser.utils.errors import InputError

# Another run: it holds the lock of a stage, and leaves the stage done or not.
OTHER = """
import fcntl, os, sys, time
folder, mark = sys.argv[1:]
os.makedirs(folder)
lock = open(os.path.join(folder, "lock"), "a")
fcntl.flock(lock, fcntl.LOCK_EX)
print("has it", flush=True)
sys.stdin.readline()
time.sleep(0.3)
if mark:
    with open(os.path.join(folder, "stage.json"), "w") as file:
        file.write('{"facts": {"by": "the other"}, "inputs": {}}')
os._exit(0)
"""


@pytest.fixture
def make(tmp_path):
    """Makes a stage in the test's folder."""

    def stage(name="labels", title="stage 1 (pseudo-labels)", **inputs):
        """A stage with these inputs."""
        return Stage(str(tmp_path / "stages"), name, title, inputs)

    return stage


def finished(stage, **facts):
    """Makes a stage, with a file of its result and a checkpoint."""
    with stage.making() as missing:
        assert missing
        for path in (("labels.bin",), ("save", "CKPT+1", "brain.ckpt")):
            file = stage.path(*path)
            os.makedirs(os.path.dirname(file), exist_ok=True)
            with open(file, "w", encoding="utf-8") as held:
                held.write("kept")
        stage.finish(facts)
    return stage


def held_files(folder):
    """Relative path to content of all files in a folder."""
    found = {}
    for home, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(home, name)
            with open(path, encoding="utf-8") as file:
                found[os.path.relpath(path, folder)] = file.read()
    return found


def test_stage_is_whole_only_with_its_mark(make):
    """Whatever else lies in its folder."""
    stage = make(layer=-3)
    with pytest.raises(KeyboardInterrupt):
        with stage.making() as missing:
            assert missing
            with open(stage.path("labels.bin"), "w", encoding="utf-8") as file:
                file.write("half")
            raise KeyboardInterrupt
    assert os.path.exists(stage.path("labels.bin")) and not stage.done()
    # what is broken off leaves no lock behind, or this waited for ever
    with stage.making() as missing:
        assert missing
        stage.finish({"frames": 5, "by scale": {"64": 0.5}})
        assert stage.done()
    assert stage.facts() == {"frames": 5, "by scale": {"64": 0.5}}
    with make(layer=-3).making() as missing:
        assert not missing


def test_finish_keeps_the_result_and_drops_checkpoints(make):
    """The checkpoints were for going on."""
    stage = finished(make(layer=-3))
    assert sorted(os.listdir(stage.folder)) == [
        "labels.bin",
        "lock",
        "stage.json",
    ]
    with open(stage.path("stage.json"), encoding="utf-8") as file:
        assert json.load(file)["inputs"] == {"layer": -3}


def test_inputs_decide_the_folder(make, tmp_path):
    """Each of them and nothing else; not their order, not a tuple or a list."""
    stage = make(layer=-3, clusters=(64, 512), previous="a")
    home, name = os.path.split(stage.folder)
    assert home == str(tmp_path / "stages")
    assert name.startswith("labels-") and len(name) == len("labels-") + 16
    same = make(previous="a", clusters=[64, 512], layer=-3)
    assert same.folder == stage.folder and same.key == stage.key
    assert make(**stage.inputs, title="other words").folder == stage.folder
    others = [
        make("retrained", **stage.inputs),
        make(layer=-4, clusters=[64, 512], previous="a"),
        make(layer=-3, clusters=[64], previous="a"),
        make(layer=-3, clusters=[64, 512], previous="b"),
        make(layer=-3, clusters=[64, 512]),
        make(layer="-3", clusters=[64, 512], previous="a"),
    ]
    assert len({other.folder for other in [stage, *others]}) == 7
    finished(stage)
    assert same.done() and not any(other.done() for other in others)


def test_what_is_done_is_not_locked(make, capsys):
    """Runs that share a stage read it side by side."""
    stage = finished(make(layer=-3))
    with stage.making() as missing, make(layer=-3).making() as again:
        assert not missing and not again
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("mark", ["done", ""])
def test_another_run_at_it_is_waited_for(make, capsys, mark):
    """What it made is taken; where it died the stage is made here."""
    stage = make(layer=-3)
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER, stage.folder, mark],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout.readline() == "has it\n"
        assert not stage.done()
        other.stdin.write("go\n")
        other.stdin.flush()
        with stage.making() as missing:
            assert missing == (not mark)
            if missing:
                stage.finish({"by": "this one"})
    by = "the other" if mark else "this one"
    assert stage.facts() == {"by": by}
    said = "stage 1 (pseudo-labels): another run is at it, waiting\n"
    assert capsys.readouterr().out == said


def test_changed_inputs_are_told_once(make, tmp_path, capsys):
    """Which stage, what was and what is, and where the earlier result is."""
    folder = str(tmp_path / "run")

    def told(*stages):
        """What is said at a start of the run."""
        tell_changes(folder, list(stages))
        return capsys.readouterr().out

    multitask = make("multitask", "stage 1 (multi-task training)", lr=(1, 2))
    first, second = make(layer=-3, lr=0.1), make(layer=-4, lr=0.1)
    assert told(multitask, first) == ""
    assert told(multitask, first) == ""
    assert told(multitask, second) == (
        "stage 1 (pseudo-labels) runs again, with other inputs than last "
        f"time: layer was -3, is -4; the earlier result stays in {first.folder}"
        "\n"
    )
    assert told(multitask, second) == ""
    finished(first)
    assert told(multitask, first) == (
        "stage 1 (pseudo-labels) is there already, with other inputs than last "
        f"time: layer was -4, is -3; the earlier result stays in "
        f"{second.folder}\n"
    )


def test_a_stage_that_is_left_out_is_remembered(make, tmp_path, capsys):
    """Say while pseudo-labels of a folder are used."""
    folder = str(tmp_path / "run")
    labels, retrained = make(layer=-3), make("retrained", "stage 2", lr=1)
    tell_changes(folder, [labels, retrained])
    tell_changes(folder, [retrained])
    assert capsys.readouterr().out == ""
    tell_changes(folder, [make(layer=-4), retrained])
    assert "layer was -3, is -4;" in capsys.readouterr().out


@pytest.mark.parametrize(
    "before, after, said",
    [
        ({"a": 1}, {"a": 1}, ""),
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, "b was 2, is 3"),
        ({"a": 1}, {"a": 1, "b": "x"}, "b was None, is x"),
        ({"a": [64]}, {"a": [64, 512]}, "a was [64], is [64, 512]"),
        ({"opt": {"!name": 1}}, {"opt": {"!name": 2}}, "opt changed"),
        ({"code": "0" * 64}, {"code": "1" * 64}, "code changed"),
        (
            {"previous": "a", "layer": -3},
            {"previous": "b", "layer": -4},
            "layer was -3, is -4, the stage before was a, is b",
        ),
        (
            dict.fromkeys(["previous", "a", "b", "c", "d"], 0),
            dict.fromkeys(["previous", "a", "b", "c", "d"], 1),
            "a was 0, is 1, b was 0, is 1, c was 0, is 1 and 2 more",
        ),
    ],
)
def test_changes_in_words(before, after, said):
    """What follows from another change comes last; the rest is counted."""
    assert changes(before, after) == said


RUN = {
    "metrics.json": "numbers",
    "figures/confusion.png": "a picture",
    "save/CKPT+1/brain.ckpt": "weights",
    "log.txt": "words",
}


def fill(folder, files, settings):
    """Writes what a run with these settings leaves."""
    for name, text in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    claim_folder(folder, settings)


def moved(folder):
    """Relative path to content of what was moved, by folder in ``earlier``."""
    home = os.path.join(folder, "earlier")
    return {
        name: held_files(os.path.join(home, name)) for name in os.listdir(home)
    }


def test_earlier_run_is_moved_out_of_the_way(tmp_path, capsys):
    """Every file of it; the new run can claim the folder."""
    folder = str(tmp_path)
    fill(folder, RUN, {"margin": 0.2})
    stays = {"lock": "", "stages.json": "{}"}
    fill(folder, stays, {"margin": 0.2})
    settings = held_files(folder)["settings.json"]
    make_room(folder, {"margin": 0.3})
    ((name, held),) = moved(folder).items()
    kept = {"settings.json": settings, "stages.json": "{}"}
    assert held == RUN | kept  # which stages it used, too
    here = {k: v for k, v in held_files(folder).items() if "earlier" not in k}
    assert here == stays
    assert capsys.readouterr().out == (
        f"{folder} held a run with other settings (margin was 0.2, is 0.3): it "
        f"is kept in {os.path.join(folder, 'earlier', name)}\n"
    )
    claim_folder(folder, {"margin": 0.3})
    with pytest.raises(InputError, match="margin"):
        claim_folder(folder, {"margin": 0.2})


def test_annotations_of_ones_own_stay(tmp_path, monkeypatch):
    """Given by any path; a file of that name elsewhere is another one."""
    folder = str(tmp_path / "run")
    fill(folder, RUN | {"train.json": "{}", "test.json": "{}"}, {"margin": 1})
    monkeypatch.chdir(tmp_path)
    own = [os.path.join("run", "..", "run", "train.json"), "test.json"]
    make_room(folder, {"margin": 2}, own)
    here = {k for k in held_files(folder) if "earlier" not in k}
    assert here == {"train.json"}
    (held,) = moved(folder).values()
    assert set(held) == {*RUN, "test.json", "settings.json"}


def test_same_settings_stay(tmp_path, capsys):
    """As does a folder without a run; a tuple is a list in JSON."""
    folder = str(tmp_path)
    make_room(str(tmp_path / "nowhere"), {"margin": 0.2})
    assert not (tmp_path / "nowhere").exists()
    fill(folder, RUN, {"margin": 0.2, "stages": [1, 2]})
    before = held_files(folder)
    make_room(folder, {"stages": (1, 2), "margin": 0.2})
    assert held_files(folder) == before
    assert capsys.readouterr().out == ""


def test_killed_while_moving(tmp_path):
    """After each of the moves: the next start moves the rest."""
    for when in range(1, 6):
        folder = str(tmp_path / str(when))
        fill(folder, RUN, {"margin": 0.2})
        everything = held_files(folder)
        replace, times = os.replace, []

        def deadly(*args):
            """Moves until it is time."""
            times.append(args)
            if len(times) == when:
                raise KeyboardInterrupt
            replace(*args)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "replace", deadly)
            with pytest.raises(KeyboardInterrupt):
                make_room(folder, {"margin": 0.3})
        # the folder is still that of the earlier run
        with pytest.raises(InputError, match="margin"):
            claim_folder(folder, {"margin": 0.3})
        make_room(folder, {"margin": 0.3})
        assert list(moved(folder).values()) == [everything]
        assert os.listdir(folder) == ["earlier"]


def test_run_that_went_on_after_a_killed_move(tmp_path):
    """Of what is there twice the newer is kept."""
    folder = str(tmp_path)
    fill(folder, RUN, {"margin": 0.2})
    replace = os.replace

    def one(source, target):
        """Moves the pictures and is killed."""
        replace(source, target)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", one)
        with pytest.raises(KeyboardInterrupt):
            make_room(folder, {"margin": 0.3})
    assert not (tmp_path / "figures").exists()
    newer = {"figures/confusion.png": "a newer picture"}
    fill(folder, newer, {"margin": 0.2})
    make_room(folder, {"margin": 0.3})
    (held,) = moved(folder).values()
    del held["settings.json"]
    assert held == RUN | newer


def test_no_earlier_run_is_written_over(tmp_path):
    """Settings to and fro: each run has a folder of its own."""
    folder, runs = str(tmp_path), []
    for i, margin in enumerate([0.2, 0.3, 0.2, 0.3, 0.2]):
        make_room(folder, {"margin": margin})
        # the later ones are broken off: no metrics
        files = RUN if i < 2 else {"save/CKPT+2/brain.ckpt": f"run {i}"}
        fill(folder, files, {"margin": margin})
        runs.append((margin, files))
    found = []
    for held in moved(folder).values():
        margin = json.loads(held.pop("settings.json"))["margin"]
        found.append((margin, held))
    assert len(found) == 4
    assert all(run in found for run in runs[:4])


def test_what_cannot_be_moved_is_named(tmp_path, monkeypatch):
    """In one sentence, with the way out."""
    fill(str(tmp_path), RUN, {"margin": 0.2})

    def refuse(*args):
        """Stands in for a folder of somebody else."""
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(InputError, match="Permission denied.*--output_folder"):
        make_room(str(tmp_path), {"margin": 0.3})


def test_killed_between_mark_and_clearing_up(tmp_path):
    """The next run removes what the finished stage has left."""
    stage = Stage(str(tmp_path), "labels", "stage 1", {"layer": -3})
    with stage.making() as missing:
        assert missing
        stage.finish({})
    os.makedirs(stage.path("save", "CKPT+1"))
    with stage.making() as missing:
        assert not missing
    assert os.listdir(stage.folder).count("save") == 0 and stage.done()
