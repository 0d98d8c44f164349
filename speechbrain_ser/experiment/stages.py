"""Training in stages whose results are kept, each in a folder of its own.

The folder is named by all that decides the stage's result. So runs that share a
stage share its folder, a stage whose inputs changed has another one, and nothing
that exists is lost.
"""

import contextlib
import json
import os
import shutil

from speechbrain_ser.experiment.identity import digest
from speechbrain_ser.experiment.run_folder import (
    SETTINGS,
    as_written,
    read_settings,
)
from speechbrain_ser.utils.distributed import on_main, wait_for_all
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.files import Lock, replacing, write_json

DONE = "stage.json"  # written last: where it is, the stage is whole
LINKS = "stages.json"
EARLIER = "earlier"
STAYS = {EARLIER, SETTINGS, LINKS, "lock"}
SHOWN = 3  # changes that are told


class Stage:
    """One stage, and the folder of its result.

    Arguments
    ---------
    root : str
        Where the folders of all stages are.
    name : str
        Of the folder, before the digest.
    title : str
        For the user.
    inputs : dict
        Name to plain value: all that decides the result.

    Example
    -------
    >>> root = getfixture("tmp_path")
    >>> stage = Stage(root, "labels", "stage 1", {"layer": -3})
    >>> with stage.making() as missing:
    ...     if missing:
    ...         stage.finish({"frames": 5})
    >>> Stage(root, "labels", "stage 1", {"layer": -3}).facts()["frames"]
    5
    """

    def __init__(self, root, name, title, inputs):
        self.name = name
        self.title = title
        self.inputs = json.loads(json.dumps(inputs))
        self.key = digest(self.inputs)
        self.folder = os.path.join(root, f"{name}-{self.key[:16]}")

    def path(self, *names):
        """Returns a path in the stage's folder."""
        return os.path.join(self.folder, *names)

    def done(self):
        """Whether the result is there and whole."""
        return os.path.exists(self.path(DONE))

    def facts(self):
        """Returns what was found."""
        return self.mark()["facts"]

    def mark(self):
        """Reads the file that says that the result is whole."""
        with open(self.path(DONE), encoding="utf-8") as file:
            return json.load(file)

    @contextlib.contextmanager
    def making(self):
        """Takes the stage; waits while another run makes it.

        Yields
        ------
        bool
            Whether it is to be made: by all processes of this run, up to
            `finish`.
        """
        lock = Lock(self.folder)

        def take():
            """Locks the folder; where all is done it clears up."""
            if self.done():
                # of a run that was killed right after its mark
                shutil.rmtree(self.path("save"), ignore_errors=True)
            elif not lock.acquire():
                print(
                    f"{self.title}: another run is at it, waiting", flush=True
                )
                lock.acquire(wait=True)

        on_main(take)
        try:
            yield not self.done()
        finally:
            lock.release()

    def finish(self, facts, describe=dict, by=None):
        """Marks the stage as whole; its checkpoints go.

        Arguments
        ---------
        facts : dict
            Plain values to be kept.
        describe : callable
            Draws what was made, on the main process; returns further facts.
        by : str or None
            Names the code of `describe`.
        """

        def write():
            """Describes, marks, clears up."""
            self.write_mark(facts | describe(), by)
            shutil.rmtree(self.path("save"), ignore_errors=True)

        wait_for_all()
        on_main(write)

    def describe_anew(self, describe, by):
        """Describes what is whole, if other code did; makes nothing.

        Arguments
        ---------
        describe : callable
        by : str
            See `finish`.
        """

        def again():
            """Looks who did, on one process: another run may be at it too."""
            mark = self.mark()
            if mark.get("described_by") != by:
                self.write_mark(mark["facts"] | describe(), by)

        on_main(again)

    def write_mark(self, facts, by):
        """Writes the file that says that the result is whole."""
        mark = {"facts": facts, "inputs": self.inputs, "described_by": by}
        write_json(self.path(DONE), mark)


def tell_changes(folder, stages):
    """Says which stages run again because their inputs changed.

    Arguments
    ---------
    folder : str
        Of the run, where the stages of its last start are noted.
    stages : list of Stage
    """
    path = os.path.join(folder, LINKS)
    before = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            before = json.load(file)
    for stage in stages:
        held = before.get(stage.name)
        if held is not None and held["inputs"] != stage.inputs:
            state = "is there already" if stage.done() else "runs again"
            print(
                f"{stage.title} {state}, with other inputs than last time: "
                f"{changes(held['inputs'], stage.inputs)}; the earlier result "
                f"stays in {held['folder']}",
                flush=True,
            )
    now = {s.name: {"folder": s.folder, "inputs": s.inputs} for s in stages}
    write_json(path, before | now)


def changes(before, after):
    """Says in words what differs between the inputs of two stages.

    Example
    -------
    >>> changes({"layer": -3, "lr": 0.1}, {"layer": -4, "lr": 0.1})
    'layer was -3, is -4'
    """
    names = [
        name
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    ]
    # what else changed follows from these
    names = sorted(names, key=lambda name: name.startswith("previous"))
    told = []
    for name in names[:SHOWN]:
        old, new = before.get(name), after.get(name)
        name = "the stage before" if name == "previous" else name
        if any(isinstance(value, dict) for value in (old, new)) or (
            len(f"{old}{new}") > 100
        ):
            told.append(f"{name} changed")
        else:
            told.append(f"{name} was {old}, is {new}")
    more = len(names) - len(told)
    return ", ".join(told) + (f" and {more} more" if more else "")


def make_room(folder, settings, stay=()):
    """Moves what a run with other settings left in a folder out of the way.

    Arguments
    ---------
    folder : str
        A run's ``output_folder``.
    settings : dict
        Of the run that is to come, see `Plan.claimed`.
    stay : iterable of str
        Paths of files that are not the earlier run's.

    Raises
    ------
    InputError
        If what is there can't be moved.
    """
    before = read_settings(folder)
    if before is None or before == as_written(settings):
        return
    kept = os.path.join(folder, EARLIER, digest(before)[:8])
    while os.path.exists(os.path.join(kept, SETTINGS)):
        kept += "-again"  # the same settings for the second time
    own = {os.path.abspath(path) for path in stay}
    names = [
        name
        for name in sorted(set(os.listdir(folder)) - STAYS)
        if os.path.abspath(os.path.join(folder, name)) not in own
    ]
    try:
        # its settings last: what is killed meanwhile is moved the next time
        move(folder, kept, [*names, SETTINGS])
    except OSError as failure:
        raise InputError(
            f"{folder} holds a run with other settings that can't be moved to "
            f"{kept} ({failure.strerror}): give another --output_folder"
        ) from failure
    told = changes(before, as_written(settings))
    print(
        f"{folder} held a run with other settings ({told}): it is kept in "
        f"{kept}",
        flush=True,
    )


def move(folder, kept, names):
    """Moves files to another folder, and notes there which stages they used."""
    os.makedirs(kept, exist_ok=True)
    if os.path.exists(os.path.join(folder, LINKS)):
        with replacing(os.path.join(kept, LINKS)) as beside:
            shutil.copyfile(os.path.join(folder, LINKS), beside)
    for name in names:
        target = os.path.join(kept, name)
        if os.path.isdir(target):
            shutil.rmtree(target)
        os.replace(os.path.join(folder, name), target)
