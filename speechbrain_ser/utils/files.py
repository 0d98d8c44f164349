"""Files that are whole or not there: written beside, then renamed."""

import contextlib
import csv
import hashlib
import json
import os
import re
import shutil
import tempfile

from speechbrain_ser.utils.errors import InputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


@contextlib.contextmanager
def replacing(path):
    """Gives a temporary path beside `path`; renames it into place at the end.

    If the block raises, or the process dies, `path` is what it was before.

    Arguments
    ---------
    path : str
        The file to write; its folder is made when missing.

    Yields
    ------
    str
        The path to write to.

    Example
    -------
    >>> target = getfixture("tmp_path") / "a.txt"
    >>> with replacing(target) as path:
    ...     _ = open(path, "w").write("whole")
    >>> target.read_text()
    'whole'
    """
    path = os.path.abspath(path)
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    stem, suffix = os.path.splitext(name)
    handle, beside = tempfile.mkstemp(suffix, f".{stem}-", folder)
    os.close(handle)
    try:
        yield beside
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(beside, 0o666 & ~umask)
        os.replace(beside, path)
    finally:
        if os.path.exists(beside):
            os.unlink(beside)


def safe_name(word):
    """Returns a file's name for an id, a speaker or a class word.

    What is no letter, digit, dot, plus, minus or underline becomes an
    underline; a digest behind it keeps two words apart.

    Example
    -------
    >>> safe_name("Ses01F_impro01_F000"), safe_name("../etc/passwd")
    ('Ses01F_impro01_F000', '_.._etc_passwd-...')
    """
    word = str(word)
    kept = re.sub(r"[^\w.+-]", "_", word)[:150]
    if kept.startswith("."):
        kept = f"_{kept}"
    if kept == word:
        return word
    return f"{kept}-{hashlib.sha256(word.encode()).hexdigest()[:8]}"


def write_json(path, value):
    """Writes `value` as indented JSON, whole or not at all."""
    with replacing(path) as beside:
        with open(beside, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=2, ensure_ascii=False)
            file.write("\n")


def write_text(path, text):
    """Writes a text, whole or not at all."""
    with replacing(path) as beside:
        with open(beside, "w", encoding="utf-8") as file:
            file.write(text)


def write_csv(path, rows):
    """Writes a list of dictionaries as CSV; the columns are the keys of all."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with replacing(path) as beside:
        with open(beside, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


class Lock:
    """A lock on a run's folder.

    The process that trains inherits it, so that it lasts while either lives and
    ends with the last of them, however that ends. Where there is no ``fcntl``
    (Windows) it ends with the process that took it.

    Arguments
    ---------
    folder : str
        Made when missing.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> one, other = Lock(folder), Lock(folder)
    >>> one.acquire(), other.acquire()
    (True, False)
    >>> one.release()
    >>> other.acquire()
    True
    """

    def __init__(self, folder):
        self.path = os.path.join(folder, "lock")
        self.file = None

    def acquire(self, wait=False):
        """Takes the lock; without `wait` returns False where another has it."""
        try:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self.file = self._locked(wait)
        except (BlockingIOError, TimeoutError):
            return False
        except OSError as error:
            raise InputError(
                f"{self.path} can't be written and locked ({error.strerror}): "
                "give another folder, on a file system that has locks"
            ) from None
        return True

    def _locked(self, wait):
        """Opens and locks the file."""
        if fcntl is None:
            from filelock import FileLock

            lock = FileLock(self.path, thread_local=False, is_singleton=False)
            lock.acquire(timeout=-1 if wait else 0)
            return lock
        file = open(self.path, "a", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BaseException:
            file.close()
            raise
        return file

    def inherited(self):
        """Gives the file descriptors that a child must keep, to hold it too."""
        return () if fcntl is None else (self.file.fileno(),)

    def held(self):
        """Whether another holds it; makes nothing."""
        if not os.path.exists(self.path):
            return False
        if self.acquire():
            self.release()
            return False
        return True

    def release(self):
        """Closes this process's end."""
        if self.file is not None:
            close = self.file.release if fcntl is None else self.file.close
            close()
        self.file = None


def cache_folder():
    """Gives `$SPEECHBRAIN_SER_CACHE`, or speechbrain_ser in the user's cache.

    That is `$XDG_CACHE_HOME`, or else `~/.cache`.
    """
    folder = os.environ.get("SPEECHBRAIN_SER_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = folder or os.path.join(base, "speechbrain_ser")
    return os.path.expanduser(folder)


def make_folder(path, fill):
    """Makes a folder that is whole or not there, whoever else makes it too.

    Arguments
    ---------
    path : str
        The folder; its parents are made when missing.
    fill : callable
        Called with the path of an empty folder, to write what belongs in it.
    """
    parent, name = os.path.split(os.path.abspath(path))
    try:
        os.makedirs(parent, exist_ok=True)
        beside = tempfile.mkdtemp(prefix=f".{name}-", dir=parent)
    except OSError as error:
        raise InputError(
            f"the folder {parent} cannot be written ({error.strerror}): set "
            "SPEECHBRAIN_SER_CACHE to one that can."
        ) from error
    try:
        # mkdtemp makes private folders; `whole` gets the user's own mode.
        whole = os.path.join(beside, name)
        os.mkdir(whole)
        fill(whole)
        os.rename(whole, path)
    except OSError:
        if not os.path.isdir(path):
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
