"""An encoder that a model folder names: in the hub's cache, or out of reach."""

import os
import socket
import urllib.parse
import urllib.request

from speechbrain_ser.utils.errors import InputError

NEEDED = ("config.json", "preprocessor_config.json")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
PATIENCE = 5  # seconds


def hub_cache():
    """Returns where transformers keeps models of the hub."""
    from huggingface_hub import constants

    return constants.HF_HUB_CACHE


def hub_place(name):
    """Says from where a named encoder is loaded.

    Arguments
    ---------
    name : str
        On the hub.

    Returns
    -------
    str
        The folder of its cached copy, which asks no network, or the name.

    Raises
    ------
    InputError
        If it is not in the cache, and there is no way to the hub: transformers
        would try for half a minute.
    """
    from huggingface_hub import constants

    held = cached(name)
    if held is not None:
        return held
    if constants.HF_HUB_OFFLINE or not reachable(constants.ENDPOINT):
        raise InputError(
            f"the model needs the encoder {name}, which is not here (in "
            "transformers' cache) and can't be fetched: give --encoder_folder "
            "the folder of a copy of it"
        )
    return name


def cached(name):
    """Returns the folder of a whole copy in the hub's cache, or None."""
    from huggingface_hub import try_to_load_from_cache

    found = [
        [try_to_load_from_cache(name, file, hub_cache()) for file in files]
        for files in (NEEDED, WEIGHTS)
    ]
    needed, weights = (
        [path for path in paths if isinstance(path, str)] for paths in found
    )
    if len(needed) < len(NEEDED) or not weights:
        return None
    return os.path.dirname(needed[0])


def reachable(endpoint):
    """Whether a server answers at all, or a proxy may know the way."""
    if urllib.request.getproxies():
        return True
    address = urllib.parse.urlsplit(endpoint)
    port = address.port or {"http": 80}.get(address.scheme, 443)
    try:
        socket.create_connection((address.hostname, port), PATIENCE).close()
    except OSError:
        return False
    return True
