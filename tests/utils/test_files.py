"""Locks, with fcntl and without."""

import pytest

from speechbrain_ser.utils import files
from tests import processes


@pytest.fixture(params=["fcntl", "filelock"])
def kind(request, monkeypatch):
    """With fcntl, and as on Windows."""
    if request.param == "filelock":
        monkeypatch.setattr(files, "fcntl", None)
    return request.param


def hold(folder, kind):
    """Takes the lock, says so, and dies with it."""
    if kind == "filelock":
        files.fcntl = None
    print(files.Lock(folder).acquire(), flush=True)


def test_one_at_a_time(kind, tmp_path):
    """The second is told so, and takes it when the first is gone."""
    one, other = files.Lock(tmp_path), files.Lock(tmp_path)
    assert one.acquire() and not other.acquire() and other.held()
    one.release()
    assert not one.held() and other.acquire() and one.held()
    other.release()


def test_it_holds_between_processes_and_ends_with_them(kind, tmp_path):
    """However they end."""
    lock = files.Lock(tmp_path)
    assert lock.acquire()
    assert processes.run(hold, tmp_path, kind).stdout == "False\n"
    lock.release()
    assert processes.run(hold, tmp_path, kind).stdout == "True\n"
    assert lock.acquire()
    lock.release()


def test_a_child_inherits_it_where_it_can(kind, tmp_path):
    """By its descriptor, which Windows has not."""
    lock = files.Lock(tmp_path)
    assert lock.acquire()
    number = len(lock.inherited())
    lock.release()
    assert number == {"fcntl": 1, "filelock": 0}[kind]
