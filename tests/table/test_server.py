"""Runs that are forked: as if each had been started by itself."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from speechbrain_ser.table.execute import LOG, launch, variables_with
from speechbrain_ser.table.forks import LOST, Forks, can_fork, modules_of
from speechbrain_ser.utils.files import Lock
from tests.recipes.helpers import RECIPE, ROOT

pytestmark = pytest.mark.skipif(not can_fork(), reason="forks need Linux")

# Says what it finds of others, and leaves something of each kind itself.
NOSY = """
import functools, logging, os, random, signal, sys
import numpy as np
from speechbrain_ser.experiment.reading import HELD, once
from speechbrain_ser.experiment.command_line import say_once

def lazily():
    import wave

ready = "wave" in sys.modules
lazily()
print(len(HELD), len(logging.getLogger().handlers), say_once.cache_info().currsize)
print(sys.argv[1:], sys.path[0], os.getcwd(), os.environ["WHO"], __name__)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
print(sys.stdin.read(), os.environ.get("GONE"))
random.seed(3), np.random.seed(3)
print(random.random(), np.random.rand())
once(functools.partial(dict, a=1))
logging.basicConfig()
say_once("hello")
if "ready" in sys.argv:
    print(ready)
if "fail" in sys.argv:
    raise RuntimeError("as it was told")
if "exit" in sys.argv:
    sys.exit("error: one sentence")
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with the nosy script and a hparams file."""
    (tmp_path / "nosy.py").write_text(NOSY)
    (tmp_path / "empty.yaml").write_text("seed: 1\n")
    return tmp_path


@pytest.fixture
def forks():
    """A server; it ends with the test."""
    server = Forks(variables_with({"OMP_NUM_THREADS": "1", "GONE": "here"}))
    yield server
    server.close()
    assert server.process.returncode == 0


def run(folder, name, *words, forks=None):
    """Makes a run of the nosy script; returns its code and what it said."""
    home = folder / name
    home.mkdir()
    lock = Lock(home)
    lock.acquire()
    environment = {"WHO": "me", "GONE": "", "OMP_NUM_THREADS": "1"}
    command = [str(folder / "nosy.py"), str(folder / "empty.yaml"), *words]
    process = launch(
        command, str(home), lock, 1, environment.items(), forks=forks
    )
    lock.release()
    end = time.time() + 60
    while process.poll() is None:
        assert time.time() < end
        time.sleep(0.01)
    return process.poll(), (home / LOG).read_text()


def test_a_run_finds_nothing_of_others(folder, forks):
    """The second and third are as the first, and as one that is started."""
    own = run(folder, "own", "x")
    assert own[0] == 0 and "['" in own[1]
    assert [run(folder, n, "x", forks=forks) for n in "abc"] == [own] * 3


def test_what_a_run_imported_is_there_for_the_next(folder, forks):
    """Also what it imported late; what was not its own stays out."""
    said = [run(folder, n, "ready", forks=forks)[1] for n in "ab"]
    assert [text.splitlines()[-1] for text in said] == ["False", "True"]


@pytest.mark.parametrize("how", ["fail", "exit"])
def test_a_run_that_fails_says_why_and_stops_no_other(how, folder, forks):
    """Its code and its words are those of a process of its own."""
    own = run(folder, "own", how)
    found = run(folder, "a", how, forks=forks)
    assert own[0] == found[0] == 1
    assert own[1].splitlines()[-1] == found[1].splitlines()[-1]
    assert run(folder, "b", "x", forks=forks)[0] == 0


SLEEPY = """
import os, pathlib, sys, time
pathlib.Path(sys.argv[2]).touch()
time.sleep(60)
"""


def sleeper(folder, forks):
    """A run that sleeps, and holds its folder's lock."""
    (folder / "sleepy.py").write_text(SLEEPY)
    lock = Lock(folder / "run")
    lock.acquire()
    command = ["sleepy.py", "empty.yaml", "begun"]
    command[:2] = [str(folder / name) for name in command[:2]]
    command[2] = str(folder / "begun")
    process = launch(command, str(folder / "run"), lock, forks=forks)
    lock.release()
    end = time.time() + 60
    while not (folder / "begun").exists():
        assert time.time() < end
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_can_be_stopped_and_gives_its_lock_back(number, folder, forks):
    """As Ctrl-C does, or a loss of power; the server serves on."""
    process = sleeper(folder, forks)
    assert process.poll() is None and Lock(folder / "run").held()
    process.send_signal(number)
    end = time.time() + 60
    while process.poll() is None:
        assert time.time() < end
        time.sleep(0.01)
    assert process.poll() == -number
    assert not Lock(folder / "run").held()
    assert run(folder, "after", "x", forks=forks)[0] == 0


def test_a_server_that_dies_takes_no_run_with_it(folder):
    """It is waited for; how it ended nobody knows but its folder.

    A later run has a process of its own.
    """
    server = Forks(variables_with({}))
    process = sleeper(folder, server)
    server.process.kill()
    server.process.wait()
    assert process.poll() is None and Lock(folder / "run").held()
    process.kill()
    end = time.time() + 60
    while process.poll() is None:
        assert time.time() < end
        time.sleep(0.01)
    assert process.poll() == LOST
    alone = sleeper(folder, server)
    assert isinstance(alone, subprocess.Popen) and alone.poll() is None
    alone.kill()
    alone.wait()
    server.asked.close()


def test_all_that_a_recipe_reaches_is_imported():
    """Frame, method and report among it."""
    names = modules_of(
        str(RECIPE), str(RECIPE.parent / "hparams" / "ipr_logmel.yaml")
    )
    for name in ("experiment.frame", "methods.ipr", "evaluation.report"):
        assert f"speechbrain_ser.{name}" in names


DRAWS = """
import random, sys
import numpy as np
import torch
from speechbrain_ser.lobes.pooling import StatisticsPooling

seed = int(sys.argv[2])
random.seed(seed), np.random.seed(seed), torch.manual_seed(seed)
layers = torch.nn.Linear(8, 64), torch.nn.Dropout(0.5), torch.nn.Linear(64, 3)
model = torch.nn.Sequential(*layers)
data = torch.tensor(np.random.randn(64, 8)).float()
loader = torch.utils.data.DataLoader(data, batch_size=16, shuffle=True)
optimizer = torch.optim.Adam(model.parameters())
for batch in [batch for _ in range(5) for batch in loader]:
    model(batch * random.random()).square().mean().backward()
    optimizer.step()
torch.save(model.state_dict(), sys.argv[3])
print(torch.get_num_threads(), torch.initial_seed())
"""


def test_a_forked_run_is_bit_equal(folder, forks):
    """Training that draws: of the second fork, and of a process of its own."""
    (folder / "nosy.py").write_text(DRAWS)
    said, states = {}, {}
    for name, seed, server in (
        ("first", "1", forks),
        ("second", "2", forks),
        ("own", "2", None),
    ):
        path = folder / f"{name}.pt"
        code, said[name] = run(folder, name, seed, str(path), forks=server)
        assert code == 0, said[name]
        states[name] = torch.load(path, weights_only=True)
    assert said["second"] == said["own"] == "1 2\n"
    for key, value in states["own"].items():
        assert torch.equal(value, states["second"][key])
        assert not torch.equal(value, states["first"][key])


def test_the_server_loads_nothing_by_itself():
    """It begins to serve at once."""
    code = (
        "import sys, speechbrain_ser.table.server;"
        "print({'torch', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == "set()", done.stderr
