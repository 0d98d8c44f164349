"""Encoders by name: from the cache without a network, or in a sentence."""

import shutil
import socket
import time

import huggingface_hub
import pytest

from speechbrain_ser.inference import hub
from speechbrain_ser.inference.encoder_place import place_of
from speechbrain_ser.utils.errors import InputError

NAMED = {"name": "some/encoder", "copied": False, "prefix_sha256": None}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub, and no way out."""
    monkeypatch.setattr(
        huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub")
    )
    monkeypatch.setattr(hub.urllib.request, "getproxies", dict)

    def refuse(*_):
        """No network."""
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    return tmp_path / "hub"


def kept(cache, folder, revision="a" * 40):
    """Puts a model into a cache as the hub's client does."""
    held = cache / "models--some--encoder"
    shutil.copytree(folder, held / "snapshots" / revision)
    (held / "refs").mkdir()
    (held / "refs" / "main").write_text(revision)
    return held / "snapshots" / revision


def test_a_cached_encoder_asks_no_network(cache, small_whisper):
    """It is a folder like any other."""
    place = kept(cache, small_whisper)
    assert place_of("model", NAMED)["source"] == str(place)


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors", None])
def test_what_is_not_there_is_a_sentence(cache, small_whisper, lost):
    """At once, where transformers would try for half a minute."""
    if lost is not None:
        (kept(cache, small_whisper) / lost).unlink()
    began = time.monotonic()
    with pytest.raises(InputError, match="give --encoder_folder"):
        place_of("model", NAMED)
    assert time.monotonic() - began < 5


def test_with_a_way_to_the_hub_it_is_fetched(cache, monkeypatch):
    """By its name; a proxy may know a way too."""
    monkeypatch.setattr(hub.urllib.request, "getproxies", lambda: {"a": "b"})
    assert place_of("model", NAMED)["source"] == "some/encoder"
    monkeypatch.setattr(hub.urllib.request, "getproxies", dict)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    monkeypatch.undo()
    port = listener.getsockname()[1]
    assert hub.reachable(f"http://127.0.0.1:{port}")
    listener.close()
    assert not hub.reachable(f"http://127.0.0.1:{port}")
