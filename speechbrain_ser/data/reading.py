"""Files named by their bytes, and how far one is with many of them."""

import hashlib

from tqdm import tqdm

from speechbrain.utils.distributed import if_main_process


def file_digest(path):
    """Returns the SHA-256 of a file, read in blocks.

    Example
    -------
    >>> path = getfixture("tmp_path") / "empty"
    >>> path.touch()
    >>> file_digest(path)[:8]
    'e3b0c442'
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def progress(items, text, show, **settings):
    """Wraps items in a progress bar, on the main process.

    Arguments
    ---------
    items : iterable or None
    text : str
        What is done.
    show : bool
        Whether to show it at all.
    **settings : dict
        Of ``tqdm``.

    Returns
    -------
    tqdm
    """
    hidden = not (show and if_main_process())
    return tqdm(items, text, disable=hidden, **settings)
