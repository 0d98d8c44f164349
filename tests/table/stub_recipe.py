"""A recipe for the tests: fast, resumable, and it writes down what it does."""

import dataclasses
import fcntl
import hashlib
import json
import os
import random
import sys
import time

CLASSES = ["ang", "sad"]
OF_TASK = {"valence": ["low", "high"]}  # instead of these
PARTS = {"train": 8, "test": 20}
MORE_PARTS = {"strong": ("test_5", "test_2")}
METRICS = ("valence_MSE",)
REPORT = 1  # how results are reported


@dataclasses.dataclass
class StubPlan:
    """What the table asks a recipe's plan."""

    path: str
    settings: dict
    split: str
    protocol: str = "stub@1"
    parts: dict = dataclasses.field(default_factory=lambda: dict(PARTS))

    @property
    def seedless(self):
        """The reference draws nothing."""
        return self.settings.get("reference") is True

    @property
    def more_parts(self):
        """The strong system's, of the utterances of test."""
        return MORE_PARTS.get(self.settings["system"], ())

    def key(self, run_opts=None, processes=1):
        """SHA-256 of the settings that decide the result."""
        free = ("seconds", "data_folder", "output_folder", "speaker_probe")
        free += ("seed",) if self.seedless else ()
        decisive = {k: v for k, v in self.settings.items() if k not in free}
        text = json.dumps([decisive, self.split], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def report_key(self, run_opts=None, processes=1):
        """SHA-256 of the settings that decide what is reported."""
        probe = bool(self.settings.get("speaker_probe"))
        text = json.dumps([self.key(), REPORT, probe])
        return hashlib.sha256(text.encode()).hexdigest()

    def facts(self, run_opts=None):
        """What metrics.json says."""
        sizes = PARTS | dict.fromkeys(self.more_parts, PARTS["test"])
        return {
            "run": self.key(),
            "report": self.report_key(),
            "labels": self.settings["labels"],
            "corpus": "stub",
            "protocol": self.protocol,
            "split_sha256": self.split,
            "parts_sha256": dict.fromkeys(sizes, self.split),
            "sizes": sizes,
            "seed": self.settings["seed"],
            "code": "stub",
            "versions": {},
        }


def plan(path, overrides):
    """Settings from the file and the overrides."""
    from speechbrain_ser.experiment.hparams import peek
    from speechbrain_ser.utils.errors import InputError

    settings = peek(path, overrides)
    if settings["system"] not in ("weak", "strong", "broken"):
        raise InputError(f"--system is {settings['system']}: give another")
    if settings.get("task") not in (None, "arousal", "valence"):
        raise InputError(f"--task is {settings['task']}: give another")
    return make_plan(path, settings)


def make_plan(path, settings):
    """The fold is in the split, and in the full name of all but `loso`."""
    settings["labels"] = OF_TASK.get(settings.get("task"), CLASSES)
    fold, protocol = settings["fold"], "stub@1"
    if settings["loso"]:
        protocol = "stub-loso@1"
    elif settings.get("direction") == "back":
        protocol = "stub-back@1"
    elif fold is not None:
        protocol += f" with fold {fold}"
    return StubPlan(path, settings, split_of(settings), protocol)


def split_of(settings):
    """Differs by fold and condition, and by seed where asked for."""
    moved = settings["seed"] if settings["split_by_seed"] else 0
    where = [
        settings[name] for name in ("direction", "task") if name in settings
    ]
    text = " ".join(map(str, [settings["fold"], moved, *where]))
    return hashlib.sha256(text.encode()).hexdigest()


def note(line):
    """Appends a line to the ledger, whole."""
    handle = os.open(
        os.environ["STUB_LEDGER"], os.O_WRONLY | os.O_APPEND | os.O_CREAT
    )
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


def replace(path, text):
    """Writes a file whole or not at all."""
    beside = f"{path}.{os.getpid()}"
    with open(beside, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(beside, path)


def main(path, arguments):
    """Trains: an epoch is a nap."""
    settings, names = {}, [a for a in arguments if a != "--noprogressbar"]
    with open(path, encoding="utf-8") as file:
        for line in file:
            name, _, value = line.strip().partition(": ")
            plain = value.lower() in ("null", "true", "false") or value[:1] in (
                *"0123456789",
            )
            settings[name] = json.loads(value.lower()) if plain else value
    for name, value in zip(names[::2], names[1::2]):
        name = name.removeprefix("--")
        settings[name] = value if name == "output_folder" else json.loads(value)
    folder = settings["output_folder"]
    planned = make_plan(path, settings)
    key = planned.key()
    # held while this process lives, whatever the table's own lock does
    busy = open(os.path.join(folder, "busy"), "a", encoding="utf-8")
    try:
        fcntl.flock(busy, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        note(f"CLASH {key}")
    note(f"start {key} {os.environ.get('OMP_NUM_THREADS')}")
    curves = os.path.join(folder, "curves.csv")
    rows = ["epoch"]
    if os.path.exists(curves):
        with open(curves, encoding="utf-8") as file:
            rows = file.read().split()
    for epoch in range(len(rows), settings["number_of_epochs"] + 1):
        time.sleep(settings["seconds"])
        rows.append(str(epoch))
        replace(curves, "\n".join(rows) + "\n")
        note(f"epoch {key} {epoch}")
        print(f"epoch {epoch}", flush=True)
    if settings["system"] == "broken":
        raise RuntimeError("this system is broken")
    replace(
        os.path.join(folder, "metrics.json"),
        json.dumps(planned.facts() | scores(planned, key)),
    )
    note(f"done {key}")
    busy.close()


def scores(planned, key):
    """Metrics by the settings alone; each further part has one right less."""
    draw = random.Random(key)
    strong = planned.settings["system"] == "strong"
    right = 5 + 3 * strong + draw.randint(0, 1)
    error = 0.9 - 0.3 * strong + draw.random() / 50
    parts = ("test", *planned.more_parts)
    return {
        "device": "cpu",
        "wall_seconds": 1.0,
        "metrics": {
            part: part_scores(
                right - less, error + less / 10, planned.settings["labels"]
            )
            for less, part in enumerate(parts)
        },
        "test_mean_of_last_epochs": {"WA": {"mean": right / 10}},
    }


def part_scores(right, error, labels):
    """Metrics of a part with so many right of ten of each class."""
    names = ("WA", "UA", "macro_F1", "weighted_F1")
    return dict.fromkeys(names, right / 10) | {
        "n": 20,
        "recall": dict.fromkeys(labels, right / 10),
        "confusion": [[right, 10 - right], [10 - right, right]],
        "speakers": None,
        "valence_MSE": error,
    }


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
