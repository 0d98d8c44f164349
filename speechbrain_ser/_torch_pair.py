"""A torchaudio that does not load is met with one sentence.

Whether torch and torchaudio fit is known only by loading them: torchaudio 2.11
loads with later releases of torch of the same CUDA, and not with a torch 2.11
that was built for another one.
"""

import functools
import sys
from importlib import abc, machinery, metadata

MEND = (
    "install both anew from one place, for example: "
    "pip install --force-reinstall torch torchaudio"
)


class TorchaudioError(ImportError):
    """torchaudio is there and does not load."""


def versions():
    """Names both packages with their versions."""
    found = []
    for name in ("torch", "torchaudio"):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} (no version)")
    return " and ".join(found)


class Guard(abc.MetaPathFinder):
    """Finds torchaudio as ever; what its import raises becomes one sentence.

    When torchaudio is loaded it is gone.
    """

    def find_spec(self, name, path=None, target=None):
        """Gives torchaudio's spec, None for any other module."""
        if name != "torchaudio":
            return None
        spec = machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = functools.partial(
                self.load, spec.loader.exec_module
            )
        return spec

    def load(self, exec_module, module):
        """Executes torchaudio.

        Raises
        ------
        TorchaudioError
            Naming both versions, the reason and the mend.
        """
        try:
            exec_module(module)
        except (OSError, RuntimeError, ImportError, AttributeError) as failure:
            reason = (str(failure) or type(failure).__name__).splitlines()[0]
            raise TorchaudioError(
                f"{versions()} do not load together ({reason}): {MEND}"
            ) from None
        if self in sys.meta_path:
            sys.meta_path.remove(self)


def guard():
    """Watches the import of torchaudio, which is to come; loads nothing."""
    if "torchaudio" not in sys.modules:
        sys.meta_path.insert(0, Guard())
