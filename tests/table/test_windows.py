"""Runs are ended on systems without POSIX's signals too."""

import signal

from speechbrain_ser.table import execute


class Fake:
    """A process that writes down how it is asked to end."""

    def __init__(self):
        self.asked = []

    def terminate(self):
        """As Windows ends it."""
        self.asked.append("terminated")

    def send_signal(self, number):
        """As POSIX does."""
        self.asked.append(number)


def test_a_run_is_asked_to_end(monkeypatch):
    """By Ctrl-C, where there is such a thing for one process."""
    process = Fake()
    execute.interrupt(process)
    with monkeypatch.context() as patch:
        patch.setattr(execute.os, "name", "nt")
        execute.interrupt(process)
    assert process.asked == [signal.SIGINT, "terminated"]
