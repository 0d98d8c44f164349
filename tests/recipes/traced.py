"""Runs a recipe, and writes down which files are executed while it learns."""

import functools
import sys

from speechbrain_ser.brain import SERBrain
from speechbrain_ser.figures import planes
from speechbrain_ser.prediction import Predictor
from tests import pictures, processes

EXECUTED = set()


def note(frame, *_):
    """Keeps the file of each function that is called; its lines are let be.

    A profiler would also be told of each return, and of each function in C.
    """
    EXECUTED.add(frame.f_code.co_filename)


def traced(function):
    """Notes what a function calls."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        """Calls it; inside of another one the noting goes on."""
        before = sys.gettrace()
        sys.settrace(note)
        try:
            return function(*args, **kwargs)
        finally:
            sys.settrace(before)

    return call


def run(target, script, *words):
    """Is the recipe's command, in a process of its own.

    Arguments
    ---------
    target : str
        Where what runs inside of `fit` and `predict` of any Brain is written,
        a line a file.
    script : str
    *words : str
    """
    pictures.make_small()
    planes.neighbour_map = lambda features, start: start
    SERBrain.fit = traced(SERBrain.fit)
    Predictor.predict = traced(Predictor.predict)
    try:
        processes.as_script(script, *words)
    finally:
        with open(target, "w", encoding="utf-8") as file:
            file.write("\n".join(sorted(EXECUTED)))
