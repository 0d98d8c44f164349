"""Sound of formats that libsndfile does not read, by the program ffmpeg."""

import collections
import re
import shutil
import subprocess
import tempfile
import threading

from speechbrain_ser.utils.errors import InputError

SUFFIXES = (
    ".3gp",
    ".aac",
    ".ac3",
    ".amr",
    ".avi",
    ".flv",
    ".m4a",
    ".m4v",
    ".mka",
    ".mkv",
    ".mov",
    ".mp4",
    ".mpeg",
    ".mpg",
    ".webm",
    ".wma",
    ".wmv",
)
KEPT = 4  # decoded files, which are read piece by piece


class MachineError(InputError):
    """Something of the machine: the same file may be read another time."""


def decode(path):
    """Decodes the first sound of a file, at its own rate and channels.

    Arguments
    ---------
    path : str
        Taken as a file's name whatever is in it: no option, no protocol, and
        what a playlist says is not fetched.

    Returns
    -------
    file
        Open and without a name, so that it is gone with this process: AU,
        whose length need not be known before its end.

    Raises
    ------
    MachineError
        If there is no ffmpeg on PATH.
    InputError
        If it finds no sound in the file, or not all that was promised.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise MachineError(
            f"The file '{path}' needs the program ffmpeg, which is not on "
            "PATH: install it (`apt install ffmpeg` or `conda install -c "
            "conda-forge ffmpeg`), or convert the file to WAV."
        )
    command = [ffmpeg, "-nostdin", "-v", "error"]
    command += ["-protocol_whitelist", "file,pipe", "-i", f"file:{path}"]
    command += ["-map", "0:a:0", "-c:a", "pcm_s16be", "-f", "au", "-"]
    sound = tempfile.TemporaryFile()
    try:
        run = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sound,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except BaseException:
        sound.close()
        raise
    said = run.stderr.strip().splitlines()
    mend = None
    if any("matches no streams" in line for line in said):
        mend = "has no sound: give one that has"
    elif run.returncode:
        # without the addresses in it, which are others each time
        reason = re.sub(r"^(\[[^]]*\] )+", "", said[0]) if said else ""
        reason = reason or f"exit code {run.returncode}"
        mend = f"can't be read by ffmpeg ({reason}): convert it to WAV"
    elif any("partial file" in line for line in said):
        mend = "is truncated: copy it again from its source"
    if mend:
        sound.close()
        raise InputError(f"The file '{path}' {mend}.")
    return sound


class Decoded:
    """Decoded files, the last ones of which are kept.

    Arguments
    ---------
    kept : int
        How many.
    """

    def __init__(self, kept=KEPT):
        self.kept = kept
        self._held = collections.OrderedDict()
        self._lock = threading.Lock()

    def use(self, path, work):
        """Does some work on a decoded file, alone.

        Arguments
        ---------
        path : str
        work : callable
            Given the open file, at its beginning.

        Returns
        -------
        object
            What the work returns.
        """
        with self._lock:
            entry = self._held.setdefault(path, _Entry())
            self._held.move_to_end(path)
            while len(self._held) > self.kept:
                self._held.popitem(last=False)  # closed when nobody uses it
        with entry.lock:
            if entry.file is None:
                entry.file = decode(path)
            entry.file.seek(0)
            return work(entry.file)


class _Entry:
    """One decoded file; its lock is held while it is made and read."""

    def __init__(self):
        self.lock = threading.Lock()
        self.file = None


DECODED = Decoded()
