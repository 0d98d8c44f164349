"""What the readers log, and a PATH without ffmpeg."""

import logging

import pytest

from speechbrain_ser.corpora import release
from speechbrain_ser.utils import odd_entries


@pytest.fixture
def logged(monkeypatch):
    """What the readers log of a tree, as (level, text)."""
    records = []

    def keep(level):
        """A logging function that keeps its text."""

        def log(message, *arguments):
            """Keeps the text."""
            records.append((level, message % arguments))

        return log

    for logger in (release.logger, odd_entries.logger):
        monkeypatch.setattr(logger, "warning", keep(logging.WARNING))
        monkeypatch.setattr(logger, "info", keep(logging.INFO))
    return records


@pytest.fixture
def no_ffmpeg(tmp_path, monkeypatch):
    """A PATH without ffmpeg."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder
