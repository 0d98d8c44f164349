"""Makes the runs of a table in the process of a test."""

import pathlib

from speechbrain_ser.table.finished import look_up
from speechbrain_ser.table.layout import DONE
from tests.recipes.helpers import run_recipe


class Here:
    """Stands in for the table command's workers: one run after the other.

    Arguments
    ---------
    patch : pytest.MonkeyPatch
    """

    poll_seconds = 0

    def __init__(self, patch):
        self.patch, self.ended, self.made = patch, [], []

    def close(self):
        """Has nothing that is open."""

    def start(self, jobs):
        """Makes those that are not done."""
        for job in jobs:
            look_up(job.run)
            if job.run.status != DONE:
                script, *line = job.command
                code = run_recipe(
                    self.patch, *line, script=pathlib.Path(script)
                )
                assert code is None
                self.made.append(job.run.row)
                self.ended.append((job, 0))
        return [job for job, _ in self.ended]

    def poll(self):
        """Those that were made."""
        ended, self.ended = self.ended, []
        return ended

    def stop(self):
        """Nothing runs by itself."""
