"""A mini corpus on disk: made once, whole or not at all, of made-up speech."""

import inspect
import os

import soundfile

from speechbrain_ser.corpora.mini.voice import SAMPLE_RATE
from speechbrain_ser.utils.files import cache_folder, make_folder
from speechbrain_ser.utils.logger import LateLogger
from speechbrain_ser.utils.settings import check

logger = LateLogger(__name__)

# An empty AppleDouble file, as macOS leaves beside the files of an archive.
APPLE_DOUBLE = bytes.fromhex("0005160700020000") + bytes(74)


def make_tree(name, release, readme, fill, folder=None):
    """Makes a mini corpus, if it is not there yet.

    Arguments
    ---------
    name : str
        Of the mini corpus, with all that its bytes depend on.
    release : str
        What the folder of the release is called.
    readme : str
        Text of its README.txt.
    fill : callable
        Called with the path of the new release, to write all else.
    folder : str, optional
        Where to make it; when None, `$SPEECHBRAIN_SER_CACHE` or
        `~/.cache/speechbrain_ser`.

    Returns
    -------
    str
        The path of the release.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> fill = lambda root: write_text("id,emotion", root, "labels.csv")
    >>> root = make_tree("mini-v1", "EMO-DB", "Made up.", fill, folder)
    >>> sorted(os.listdir(root))
    ['README.txt', 'labels.csv']
    """
    path = os.path.join(folder or cache_folder(), name)
    made = os.path.join(path, release)
    if os.path.isdir(made):
        return made

    def fill_whole(whole):
        """Writes the release with its README."""
        root = os.path.join(whole, release)
        write_text(readme, root, "README.txt")
        fill(root)

    logger.info("Making the mini corpus in %s.", path)
    make_folder(path, fill_whole)
    return made


def another_version(first, make_release, name, module):
    """Makes a function like another one, of another version of a corpus.

    Arguments
    ---------
    first : callable
        Makes the first version; the new function takes and checks the same.
    make_release : callable
        Called with these arguments, by name; makes the new version.
    name, module : str
        What the new function is called, and where.

    Returns
    -------
    callable

    Example
    -------
    >>> from speechbrain_ser.utils.settings import Whole
    >>> def mini(folder=None, seed: Whole(0) = 0):
    ...     return "v1"
    >>> louder = another_version(mini, dict, "louder", __name__)
    >>> louder("here")
    {'folder': 'here', 'seed': 0}
    >>> louder(seed=-1)
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: --seed is -1: give a whole ...
    """
    signature = inspect.signature(first)

    def make(*args, **kwargs):
        """Checks, then makes it."""
        given = signature.bind(*args, **kwargs)
        check(inspect.unwrap(first), given.arguments)
        given.apply_defaults()
        return make_release(**given.arguments)

    make.__signature__ = signature
    make.__name__ = make.__qualname__ = name
    make.__module__ = module
    make.__doc__ = f"Makes the mini corpus, as `{first.__name__}` does its own."
    return make


def write_text(text, *path):
    """Writes a text file, and makes its folder."""
    os.makedirs(os.path.join(*path[:-1]), exist_ok=True)
    with open(os.path.join(*path), "w", encoding="utf-8", newline="\n") as file:
        file.write(text)


def write_sound(samples, *path):
    """Writes a WAV file of 16 bits, into a folder that there is."""
    soundfile.write(os.path.join(*path), samples, SAMPLE_RATE, subtype="PCM_16")


def write_decoy(*path):
    """Writes what macOS leaves beside a file."""
    folder, name = os.path.split(os.path.join(*path))
    with open(os.path.join(folder, f"._{name}"), "wb") as file:
        file.write(APPLE_DOUBLE)
