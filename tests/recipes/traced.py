"""Runs a recipe, and writes down which files are executed while it learns.

traced.py FILE SCRIPT ARGUMENTS: what runs inside of `fit` and `predict` of any
Brain goes to FILE, a line a file of the package.
"""

import functools
import runpy
import sys

from speechbrain_ser.brain import SERBrain
from speechbrain_ser.prediction import Predictor

EXECUTED = set()


def note(frame, event, _):
    """Keeps the file of each function that is called."""
    if event == "call":
        EXECUTED.add(frame.f_code.co_filename)


def traced(function):
    """Notes what a function calls."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        """Calls it; inside of another one the noting goes on."""
        before = sys.getprofile()
        sys.setprofile(note)
        try:
            return function(*args, **kwargs)
        finally:
            sys.setprofile(before)

    return call


if __name__ == "__main__":
    target, script = sys.argv[1:3]
    sys.argv = sys.argv[2:]
    SERBrain.fit = traced(SERBrain.fit)
    Predictor.predict = traced(Predictor.predict)
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        with open(target, "w", encoding="utf-8") as file:
            file.write("\n".join(sorted(EXECUTED)))
