"""What was labelled before, so that a stopped command goes on where it was.

One file a model and its settings: lines of JSON that are only added. A line
that was broken by a crash is none.
"""

import dataclasses
import errno
import hashlib
import json
import os

from speechbrain_ser.utils.audio_files import AudioInfo

WITHIN = ("speechbrain_ser", "labels")
SHORT = 32  # hex digits


@dataclasses.dataclass(frozen=True)
class Said:
    """What a model said of one thing, before any temperature.

    Arguments
    ---------
    posterior : list of float
        In the order of the model's classes; empty after an error.
    own : dict
        Name to number.
    error : str, optional
        Why there is nothing.
    """

    posterior: list
    own: dict
    error: str = None


def journal_folder():
    """The user's: `$SPEECHBRAIN_SER_CACHE`, or below `$XDG_CACHE_HOME`."""
    own = os.environ.get("SPEECHBRAIN_SER_CACHE")
    if own:
        return os.path.join(os.path.expanduser(own), WITHIN[-1])
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return os.path.join(os.path.expanduser(base), *WITHIN)


def digest(*values):
    """Names values that JSON can hold.

    Example
    -------
    >>> digest("a", 1) == digest("a", 1), digest("a", 1) == digest("a", 2)
    (True, False)
    """
    text = json.dumps(values, ensure_ascii=True, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:SHORT]


def file_key(speech):
    """Names a file as it is now, and what of it is meant.

    Arguments
    ---------
    speech : Speech

    Returns
    -------
    str
        Another one as soon as the file's size or time of change is; None if
        there is no such file.
    """
    try:
        status = os.stat(speech.path)
    except (OSError, ValueError):
        return None
    return digest(*speech.place, status.st_size, status.st_mtime_ns)


class Journal:
    """What was done.

    Arguments
    ---------
    folder : str or None
        None: nothing is read, nothing is kept.
    deciding : list
        What decides the posteriors besides the speech: the model's digest and
        its settings; another one has a file of its own.
    say : callable, optional
        Given a sentence, if the folder can't be used.

    Attributes
    ----------
    infos : dict
        Key of a file to AudioInfo.
    """

    def __init__(self, folder, deciding, say=print):
        self.path = None
        if folder is not None:
            name = f"{deciding[0][:16]}-{digest(*deciding)}.jsonl"
            self.path = os.path.join(folder, name)
        self.say = say
        self.infos = {}
        self._said = {}
        self._handle = None

    def read(self, keys, again=False):
        """Reads what is known of some files.

        Arguments
        ---------
        keys : container of str
        again : bool
            Whether only the files' headers are taken, so that all is done
            anew.
        """
        if self.path is None:
            return
        try:
            with open(self.path, "rb") as file:
                for line in file:
                    self._take(line, keys, again)
        except FileNotFoundError:
            pass
        except OSError as error:
            self._give_up(error)

    def _take(self, line, keys, again):
        """Takes one line, if it is whole."""
        try:
            row = json.loads(line)
            key = row["key"]
            if key not in keys:
                return
            info = AudioInfo(*map(int, row["info"]))
            posterior = [float(value) for value in row["posterior"]]
            own = {str(k): float(v) for k, v in row["own"].items()}
            said = Said(posterior, own, row["error"])
            context = row["context"]
        except (ValueError, TypeError, KeyError, AttributeError):
            return
        self.infos[key] = info
        if not again:
            self._said[key, context] = said

    def get(self, key, context=""):
        """What was said of a file, None if nothing was.

        Arguments
        ---------
        key : str
            See `file_key`.
        context : str
            Names what else its posterior depends on: of whom its speaker's
            statistics are, which batch it was in.
        """
        return self._said.get((key, context))

    def add(self, key, context, info, said):
        """Keeps what was said, at once.

        Arguments
        ---------
        key, context : str
        info : AudioInfo
        said : Said
        """
        self._said[key, context] = said
        if self.path is None or key is None:
            return
        row = {
            "key": key,
            "context": context,
            "info": dataclasses.astuple(info),
            "posterior": said.posterior,
            "own": said.own,
            "error": said.error,
        }
        try:
            if self._handle is None:
                self._open()
            # one write, so that lines of two processes do not mix
            line = (json.dumps(row, ensure_ascii=True) + "\n").encode()
            if os.write(self._handle, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._give_up(error)

    def _open(self):
        """Opens the file, behind a line that is broken."""
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        self._handle = os.open(self.path, flags, 0o600)
        size = os.fstat(self._handle).st_size
        if size:
            os.lseek(self._handle, size - 1, os.SEEK_SET)
            if os.read(self._handle, 1) != b"\n":
                os.write(self._handle, b"\n")

    def _give_up(self, error):
        """Goes on without."""
        self.say(
            f"what is done can't be kept in '{self.path}' ({error.strerror}): "
            "a stopped command will begin anew; --journal names another folder"
        )
        self.close()
        self.path = None

    def close(self):
        """Closes the file."""
        if self._handle is not None:
            os.close(self._handle)
        self._handle = None
