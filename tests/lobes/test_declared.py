"""What lobes, losses, schedules and data declare of their arguments."""

import importlib
import inspect
import pkgutil

import pytest

import speechbrain_ser.data
import speechbrain_ser.lobes
from speechbrain_ser.utils.settings import check, declared

MODULES = ["speechbrain_ser.losses", "speechbrain_ser.schedules"] + [
    f"{package.__name__}.{module.name}"
    for package in (speechbrain_ser.lobes, speechbrain_ser.data)
    for module in pkgutil.iter_modules(package.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_defaults_are_fit(name):
    """Each default is what its declaration asks for."""
    module = importlib.import_module(name)
    for thing in vars(module).values():
        if getattr(thing, "__module__", None) != name or not callable(thing):
            continue
        arguments = inspect.signature(thing).parameters.values()
        defaults = {
            argument.name: argument.default
            for argument in arguments
            if argument.default is not argument.empty
        }
        assert declared(thing).keys() <= {a.name for a in arguments}
        check(thing, defaults)
