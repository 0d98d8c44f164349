"""The processes of the tests are as those that a user starts."""

import os
import signal
import sys
import time

from tests import processes


def tell(*words):
    """Prints its environment and words."""
    print(os.environ.get("RANK"), os.getcwd(), *words)
    print("complaint", file=sys.stderr)


def wait_for_ever():
    """Says that it is there, and stays."""
    print("there", flush=True)
    while True:
        time.sleep(0.05)


def fail():
    """Ends as a command does that was refused."""
    sys.exit("error: refused")


def started():
    """A process that has begun to wait."""
    child = processes.start(wait_for_ever)
    while not child.stdout:
        time.sleep(0.01)
    return child


def test_what_is_printed_and_returned(tmp_path):
    """With variables and folder of its own."""
    child = processes.run(tell, "a", environment={"RANK": "7"}, cwd=tmp_path)
    assert child.stdout == f"7 {tmp_path} a\n"
    assert child.stderr == "complaint\n" and child.returncode == 0
    child = processes.run(fail)
    assert child.returncode == 1 and child.stderr == "error: refused\n"


def test_signals_reach_it():
    """Ctrl-C is an exception, SIGKILL is not."""
    child = started()
    child.send_signal(signal.SIGINT)
    assert child.wait().stderr.endswith("KeyboardInterrupt\n")
    assert started().kill().returncode == -signal.SIGKILL


def test_ranks_meet():
    """Two of them, each with its number."""
    one, two = processes.run_ranks(tell)
    assert one.stdout[0] + two.stdout[0] == "01"


def test_a_script_has_its_words(tmp_path):
    """By its path."""
    path = tmp_path / "script.py"
    path.write_text("import sys; print(__name__, sys.argv[1:])")
    child = processes.run(processes.as_script, path, "--a", 1)
    assert child.stdout == "__main__ ['--a', '1']\n"
