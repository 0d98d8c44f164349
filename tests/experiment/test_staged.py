"""A staged experiment: what decides its stages, and what it makes of them."""

import dataclasses
import functools
import json
import os

import pytest

from speechbrain.utils.run_opts import RunOptions
from speechbrain_ser.data.parts import Parts
from speechbrain_ser.experiment import staged
from speechbrain_ser.experiment.alone import load_alone
from speechbrain_ser.experiment.hparams import peek, with_overrides
from speechbrain_ser.experiment.identity import program
from speechbrain_ser.experiment.plan import Plan
from speechbrain_ser.experiment.staged import Step
from speechbrain_ser.utils.errors import InputError

HPARAMS = """
seed: 1
stages: [1, 2, 3]
use_stages: "on"
grown_folder: null
corpus_name: made up
output_folder: {folder}/out
stages_folder: {folder}/stages
labels: [a, b]
water: 3
light: 5
salt: 1
seed_maker: !name:builtins.dict
    seed: !ref <seed>
    water: !ref <water>
plant_maker: !name:builtins.dict
    light: !ref <light>
experiment: !name:speechbrain_ser.experiment.staged.StagedExperiment
    output_folder: !ref <output_folder>
    corpus_name: !ref <corpus_name>
    labels: !ref <labels>
    seed: !ref <seed>
    stages: !ref <stages>
    stages_folder: !ref <stages_folder>
    makers:
        sown: !ref <seed_maker>
        grown: !ref <plant_maker>
        cut: !name:builtins.dict
            knife: sharp
    earlier: !ref <use_stages>
    given:
        grown: !ref <grown_folder>
brain: !name:builtins.dict
    salt: !ref <salt>
"""


class Cook(Parts):
    """Stands in for a Brain."""

    def __init__(self, told, stages, hparams, run_opts):
        self.told = told
        self.told.append(("cook", stages))

    def set_parts(self, parts):
        """Notes who is there."""
        self.told.append(("parts", list(parts)))
        self.train_set, self.datasets = parts["train"], parts

    def fit(self, counter, train_set, valid_set):
        """Trains nothing."""
        self.told.append(("fit",))


class Guest:
    """Stands in for a report."""

    def __init__(self, brain, output_folder, stages):
        self.brain, self.stages = brain, stages

    def write(self, facts, title):
        """Notes what was found."""
        self.brain.told.append(("report", self.stages))


class Kitchen:
    """A staged experiment, and what its steps were told."""

    def __init__(self, folder):
        self.folder = str(folder)
        self.path = os.path.join(folder, "kitchen.yaml")
        with open(self.path, "w", encoding="utf-8") as file:
            file.write(HPARAMS.format(folder=folder))
        self.script = os.path.join(folder, "cook.py")
        with open(self.script, "w", encoding="utf-8") as file:
            file.write("import os\n")
        self.told = []
        people = {"a1": {"emotion": "a"}, "b1": {"emotion": "b"}}
        self.parts = {"train": people, "valid": {}, "test": {"a2": {}}}
        for key, entry in people.items():
            entry |= {"wav": key, "duration": 1.0}
        self.check = staged.nothing

    def steps(self):
        """Two by one number, and one."""

        def make(name):
            """Makes nothing but a note."""

            def made(maker, folder, parts, stages, options):
                """Notes what it was given."""
                self.told.append((f"make {name}", dict(stages), list(parts)))
                return {"made": name, "by": maker.keywords}

            return made

        def describe(maker, folder, parts, stages):
            """Notes that it was asked."""
            self.told.append(("describe", os.path.basename(folder)[:5]))
            return {"described": len(self.told)}

        return (
            Step("sown", 1, "sowing", make("sown"), inputs=self.weather),
            Step("grown", 1, "growing", make("grown"), describe),
            Step("cut", 2, "cutting", make("cut"), check=self.check),
        )

    def weather(self, maker, parts):
        """What else decides the first stage."""
        return {"people": sorted(parts["train"])}

    def experiment(self, **settings):
        """The experiment, and its plan, with other settings."""
        overrides = with_overrides("", **settings)
        held = load_alone(self.path, overrides, "experiment")(
            script=self.script,
            method="soup",
            brain=functools.partial(Cook, self.told),
            steps=self.steps(),
            last="cooking",
            report=functools.partial(Guest),
        )
        held.report = functools.partial(Guest)
        planned = Plan(
            self.script,
            self.path,
            overrides,
            peek(self.path, overrides),
            self.parts,
            "none",
            files=self.files(settings),
        )
        return held, planned

    def files(self, settings):
        """A given stage is named by a file in it."""
        folder = settings.get("grown_folder")
        return {"grown": os.path.join(folder, "plant")} if folder else {}

    def stages(self, **settings):
        """The stages that the experiment has."""
        held, planned = self.experiment(**settings)
        return held.make_stages(planned, RunOptions())

    def keys(self, **settings):
        """Stage to key."""
        return {k: stage.key for k, stage in self.stages(**settings).items()}

    def run(self, debug=False, **settings):
        """Executes; returns what was told meanwhile."""
        del self.told[:]
        held, planned = self.experiment(**settings)
        options = RunOptions.from_dictionary({"debug": debug})
        held.check_output_folder(planned, options)
        held.execute(planned, options)
        return list(self.told)


@pytest.fixture
def kitchen(tmp_path, monkeypatch):
    """An experiment whose stages take no time."""
    # it asks pip
    monkeypatch.setattr(
        "speechbrain.utils.logger.get_environment_description", str
    )
    return Kitchen(tmp_path)


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
def test_stages_are_read(value, expected, kitchen):
    """In ascending order, as a file and a command line have them."""
    held, planned = kitchen.experiment(stages=value)
    assert held.wanted() == expected
    held.check_settings(planned.settings)


@pytest.mark.parametrize("value", [4, 0, "1-3", "all", "", [], None, "2,,3"])
def test_other_stages_are_refused(value, kitchen):
    """With what was given and what there is; before anything is read."""
    held, planned = kitchen.experiment(stages=value)
    with pytest.raises(InputError) as caught:
        held.check_settings(planned.settings)
    assert str(caught.value) == (
        f"--stages is {value!r}: give numbers of stages, such as 2,3, of 1 "
        "(sowing and growing), 2 (cutting) and 3 (cooking)"
    )


# What decides a stage


def changed(kitchen, **settings):
    """The stages that have another key with these settings."""
    before, after = kitchen.keys(), kitchen.keys(**settings)
    return [name for name in before if before[name] != after[name]]


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({"water": 4}, ["sown", "grown", "cut"]),
        ({"seed": 2}, ["sown", "grown", "cut"]),
        ({"corpus_name": "other"}, ["sown", "grown", "cut"]),
        ({"light": 6}, ["grown", "cut"]),
        ({"salt": 2}, []),
        ({"stages": [3]}, []),
        ({"output_folder": "elsewhere"}, []),
    ],
    ids=str,
)
def test_a_stage_has_its_maker_s_settings(settings, expected, kitchen):
    """And what the stages before it have; nothing of the later ones."""
    assert changed(kitchen, **settings) == expected


def test_inputs_have_their_arguments_names(kitchen):
    """So that a change of them can be told."""
    inputs = kitchen.stages()["sown"].inputs
    assert inputs["water"] == 3 and inputs["people"] == ["a1", "b1"]
    assert inputs["made by"] == "!name:builtins.dict"
    assert "light" not in inputs and "salt" not in inputs
    assert "previous" not in inputs
    stages = kitchen.stages()
    assert stages["cut"].inputs["previous"] == stages["grown"].key


def test_who_tests_decides_nothing(kitchen):
    """Its ids and labels; those of the others do."""
    before = kitchen.keys()
    kitchen.parts["test"] = {"b9": {"emotion": "b"}}
    assert kitchen.keys() == before
    kitchen.parts["valid"] = {"b9": {"emotion": "b"}}
    assert not set(kitchen.keys().values()) & set(before.values())


def test_code_and_libraries_decide(kitchen, monkeypatch):
    """Of the recipe's script, say."""
    before = kitchen.keys()
    with open(kitchen.script, "w", encoding="utf-8") as file:
        file.write("import os, sys\n")
    program.cache_clear()
    changed = kitchen.keys()
    assert not set(changed.values()) & set(before.values())
    monkeypatch.setattr(
        "speechbrain_ser.experiment.plan.library_versions",
        lambda: {"torch": "9.9"},
    )
    assert not set(kitchen.keys().values()) & set(changed.values())


def test_given_stage_and_those_before_it_are_not_made(kitchen, tmp_path):
    """The next one is decided by the content of what is given."""
    (tmp_path / "plant").write_text("green")
    given = {"grown_folder": str(tmp_path)}
    keys = kitchen.keys(**given)
    assert list(keys) == ["cut"]
    assert keys["cut"] != kitchen.keys()["cut"]
    (tmp_path / "plant").write_text("red")
    assert kitchen.keys(**given) != keys
    told = kitchen.run(**given)
    assert told[0] == ("make cut", {"grown": str(tmp_path)}, ["train", "valid"])
    assert set(told[1][1]) == {"grown", "cut"}
    assert list(told[-1][1]) == ["cut"]


def test_without_the_earlier_stages(kitchen, tmp_path):
    """The last one is trained alone, also where a stage is given."""
    held, _ = kitchen.experiment(use_stages="off", grown_folder=str(tmp_path))
    assert held.steps_made() == () and held.folders({}) == {}
    told = kitchen.run(use_stages="off")
    assert told[0] == ("cook", {}) and told[-1] == ("report", {})
    assert not (tmp_path / "stages").exists()


# What is made


def test_stages_are_made_in_order_and_kept(kitchen, tmp_path, capsys):
    """Each has the folders before it; nothing is made twice."""
    told = kitchen.run()
    names = [line[0] for line in told]
    assert names == [
        "make sown",
        "make grown",
        "describe",
        "make cut",
        "cook",
        "parts",
        "fit",
        "report",
    ]
    folders = {name: stage.folder for name, stage in kitchen.stages().items()}
    heard = ["train", "valid"]
    assert told[0][1:] == ({}, heard)
    assert told[1][1:] == ({"sown": folders["sown"]}, heard)
    assert list(told[3][1]) == ["sown", "grown"]
    assert told[4][1] == folders
    assert told[5][1] == ["train", "valid", "test"]
    found = told[-1][1]
    assert found["sown"] == {
        "folder": folders["sown"],
        "made": "sown",
        "by": {"seed": 1, "water": 3},
    }
    assert "described" in found["grown"]
    said = capsys.readouterr().out
    assert said.count("begins: ") == 3 and "stage 3 (cooking)" in said
    again = kitchen.run()
    assert [line[0] for line in again] == ["cook", "parts", "fit", "report"]
    assert again[-1] == told[-1]
    assert capsys.readouterr().out.count(" is there: ") == 3


def test_stages_apart(kitchen, capsys):
    """A missing one is named; what is there is gone on from."""
    with pytest.raises(InputError) as caught:
        kitchen.run(stages="2,3")
    said = r"stage 1 (sowing) is not there with these settings (no whole "
    assert said in str(caught.value)
    assert str(caught.value).endswith("run it as well, --stages 1,2,3")
    told = kitchen.run(stages=1)
    assert [line[0] for line in told] == ["make sown", "make grown", "describe"]
    assert "go on with --stages 2,3" in capsys.readouterr().out
    told = kitchen.run(stages="2,3")
    assert [line[0] for line in told][:2] == ["make cut", "cook"]


def test_what_describes_a_stage_may_change(kitchen, monkeypatch):
    """It is described again, once, and not made again."""
    first = kitchen.run()[-1][1]["grown"]
    version = staged.code_version

    def other(script, path, report=False):
        """Another figure."""
        return version(script, path) + "changed" * report

    monkeypatch.setattr(staged, "code_version", other)
    told = kitchen.run()
    assert [line[0] for line in told][:2] == ["describe", "cook"]
    second = told[-1][1]["grown"]
    assert second["described"] != first["described"]
    assert second["made"] == first["made"]
    assert kitchen.run()[0][0] == "cook"


def test_another_run_in_the_same_folder(kitchen, tmp_path, capsys):
    """It is moved out of the way; a trial moves nothing."""
    kitchen.run()
    with pytest.raises(InputError, match="holds a run with"):
        kitchen.run(debug=True, salt=9)
    assert not (tmp_path / "out" / "earlier").exists()
    kitchen.run(salt=9)
    said = capsys.readouterr().out
    assert "salt was 1, is 9" in said
    (kept,) = (tmp_path / "out" / "earlier").iterdir()
    held = json.loads((kept / "settings.json").read_text())
    assert held["salt"] == 1


def test_nothing_is_written_where_a_stage_can_not_be_made(kitchen, tmp_path):
    """A step refuses what it is asked to make, or to take."""
    asked = []

    def check(maker, parts, given):
        """Refuses."""
        asked.append((list(parts), given))
        raise InputError("no water")

    kitchen.check = check
    with pytest.raises(InputError, match="no water"):
        kitchen.run()
    assert asked == [(["train", "valid", "test"], None)]
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "stages").exists()


def test_a_step_is_not_changed(kitchen):
    """It is shared by all experiments of a script."""
    step = kitchen.steps()[0]
    assert step.title == "stage 1 (sowing)"
    with pytest.raises(dataclasses.FrozenInstanceError):
        step.number = 2
