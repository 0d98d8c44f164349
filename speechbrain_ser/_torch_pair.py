"""torch and torchaudio must be of one build; says so instead of a traceback."""

from importlib import metadata

NEWEST = (2, 11)
OLDEST = (2, 8)
MEND = (
    "install a pair that fits, for example: "
    "pip install --force-reinstall 'torch>=2.11,<2.12' 'torchaudio>=2.11,<2.12'"
)


def release(version):
    """Returns (major, minor) of a version such as ``2.11.0+cpu``.

    Example
    -------
    >>> release("2.11.0+cpu")
    (2, 11)
    """
    major, minor = version.split("+")[0].split(".")[:2]
    return int(major), int(minor)


def mismatch(torch_version, torchaudio_version):
    """Says in one sentence why two versions do not go together.

    Arguments
    ---------
    torch_version : str
    torchaudio_version : str

    Returns
    -------
    str or None
        None when they do.

    Example
    -------
    >>> mismatch("2.11.0", "2.11.0") is None
    True
    >>> mismatch("2.13.0", "2.11.0")[:46]
    'torch 2.13.0 and torchaudio 2.11.0 do not go t'
    """
    pair = f"torch {torch_version} and torchaudio {torchaudio_version}"
    if release(torch_version) != release(torchaudio_version):
        return f"{pair} do not go together (the releases must be equal); {MEND}"
    if not OLDEST <= release(torch_version) <= NEWEST:
        return f"{pair} are outside the releases 2.8 to 2.11; {MEND}"
    return None


def check_torch_pair():
    """Imports torchaudio, or raises ImportError with one sentence and the mend.

    The versions are compared first, because torchaudio's own failure (an
    undefined symbol, a library that is not there) does not name the cause. Two
    equal versions of different builds (a CPU-only torch, say) fail only at the
    import, which SpeechBrain does anyway.

    Raises
    ------
    ImportError
        If one of the two is missing or they do not fit each other.
    """
    try:
        versions = metadata.version("torch"), metadata.version("torchaudio")
    except metadata.PackageNotFoundError as missing:
        raise ImportError(
            f"speechbrain_ser needs {missing.name}; {MEND}"
        ) from None
    problem = mismatch(*versions)
    if problem is None:
        try:
            import torchaudio  # noqa: F401
        except (OSError, RuntimeError, ImportError) as failure:
            problem = (
                f"torch {versions[0]} and torchaudio {versions[1]} are builds "
                f"that do not go together ({str(failure).splitlines()[0]}); "
                f"{MEND}"
            )
    if problem is not None:
        raise ImportError(problem) from None
