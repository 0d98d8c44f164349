"""The sound of videos, taken out once with ffmpeg: 16 kHz and mono."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor, as_completed

import soundfile
from tqdm import tqdm

from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import replacing
from speechbrain_ser.utils.logger import LateLogger

logger = LateLogger(__name__)

_SHOW_PROGRESS_FROM = 20


def is_newer(wav, video):
    """Whether a video's sound was taken after the video was put there."""
    try:
        taken = os.stat(wav).st_mtime
    except OSError:
        return False
    # A video that is copied again with its old date changes its ctime only.
    status = os.stat(video)
    return taken >= max(status.st_mtime, status.st_ctime)


def find_ffmpeg(videos, instead):
    """Finds ffmpeg, if videos need it.

    Arguments
    ---------
    videos : iterable of str
    instead : str
        The folder into which sound may be put instead.

    Returns
    -------
    str or None
        None if there is no video.

    Raises
    ------
    InputError
        If there is no ffmpeg.
    """
    if not videos:
        return None
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise InputError(
            f"{len(videos)} clips are videos, such as '{next(iter(videos))}', "
            "and there is no ffmpeg on PATH to take their sound: install it "
            "(`apt install ffmpeg` or `conda install -c conda-forge ffmpeg`) "
            "or put each clip's sound as 16 kHz mono <name>.wav into "
            f"'{instead}'."
        )
    return ffmpeg


def extract_all(videos, ffmpeg):
    """Takes the sound of many videos, several at once.

    Arguments
    ---------
    videos : dict
        Video -> where its sound goes, all in one folder.
    ffmpeg : str

    Returns
    -------
    dict
        Bad video -> InputError; the others' sound is taken.

    Raises
    ------
    InputError
        If the folder can't be made.
    """
    if not videos:
        return {}
    folder = os.path.dirname(next(iter(videos.values())))
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The folder '{folder}' for the sound of the videos cannot be made "
            f"({error.strerror}): set audio_folder to one that can."
        ) from None
    logger.info("Taking the sound of %d videos to '%s'.", len(videos), folder)
    errors = {}
    silent = True if len(videos) < _SHOW_PROGRESS_FROM else None
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        jobs = {
            pool.submit(extract, ffmpeg, video, wav): video
            for video, wav in videos.items()
        }
        done = as_completed(jobs)
        for job in tqdm(
            done, "taking sound", len(jobs), disable=silent, unit="clip"
        ):
            try:
                job.result()
            except InputError as error:
                errors[jobs[job]] = error
    finally:
        pool.shutdown(cancel_futures=True)
    return dict(sorted(errors.items()))


def extract(ffmpeg, video, wav):
    """Writes the sound of a video, whole or not at all."""
    if os.path.getsize(video) == 0:
        raise InputError(
            f"The video '{video}' is empty (0 bytes): copy it again from the "
            "release."
        )
    command = [ffmpeg, "-nostdin", "-v", "error", "-y", "-i", video]
    command += ["-vn", "-ar", "16000", "-ac", "1", "-c:a", "pcm_s16le"]
    try:
        with replacing(wav) as beside:
            run = subprocess.run(
                [*command, beside],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
            said = run.stderr.strip().splitlines()
            without = any("not contain any stream" in line for line in said)
            if run.returncode and not without:
                reason = said[-1] if said else f"exit code {run.returncode}"
                raise InputError(
                    f"ffmpeg cannot read the video '{video}' ({reason}): copy "
                    "it again from the release."
                )
            if without or not _has_samples(beside):
                raise InputError(
                    f"The video '{video}' has no sound: copy it again from the "
                    "release or delete its line from the label file."
                )
    except OSError as error:
        raise InputError(
            f"The sound of '{video}' cannot be written to '{wav}' ({error}): "
            "mend this or set audio_folder to another folder."
        ) from None


def _has_samples(path):
    """Whether a file is sound, and of some length."""
    try:
        return soundfile.info(path).frames > 0
    except RuntimeError:
        return False
