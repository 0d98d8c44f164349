"""What a table is made of: its file, its runs and its cells."""

import dataclasses
import os

from speechbrain_ser.scores import SHARES

DONE, RUNNING, QUEUED = "done", "running", "queued"
FAILED, MISSING, FOREIGN = "failed", "missing", "foreign"
# Metric to what `probing.speaker_probe` calls it.
LEAKAGE = {
    "leakage": "accuracy",
    "leakage_nonlinear": "nonlinear_accuracy",
    "leakage_chance": "chance",
}


@dataclasses.dataclass(frozen=True)
class Column:
    """One number of each row.

    Attributes
    ----------
    name : str
        The heading.
    metric : str
        Of `SHARES`, ``recall_<class>``, ``n`` (utterances), of `LEAKAGE`, or
        one that the recipe names in its ``METRICS`` or ``SHARES``.
    splits : tuple of str
        The parts it is computed on; more than one for ``n`` alone.
    epochs : str
        ``selected``, ``last``: the mean over the run's last epochs, or
        ``best``: of the epoch that did best on what validates, where a run
        that selects its last epoch reports that too.
    folds : str
        ``mean`` of the folds' values, or ``pooled``: of the metric over the
        utterances of all folds together.
    speakers : str
        ``pooled``: of all speakers' utterances together, or ``mean`` of the
        metric over the part's speakers.
    better : str
        ``higher`` or ``lower``.
    condition : str or None
        The one of `TableFile.conditions` whose runs alone it reads; None: the
        mean over all of them.
    minus : str or None
        A part: the number is a difference, run by run, from that of this part.
    share : bool
        Whether the recipe names the metric in its ``SHARES``.
    given : bool
        Whether the row's recipe reports such a metric.
    """

    name: str
    metric: str
    splits: tuple
    epochs: str = "selected"
    folds: str = "mean"
    speakers: str = "pooled"
    better: str = "higher"
    condition: str = None
    minus: str = None
    share: bool = False
    given: bool = True

    @property
    def from_confusion(self):
        """Whether the metric is computed from a confusion matrix."""
        return self.metric in SHARES or self.metric.startswith("recall_")

    @property
    def percent(self):
        """Whether the metric is a share, and shown in per cent."""
        return self.share or self.from_confusion or self.metric in LEAKAGE

    @property
    def reported(self):
        """Whether runs report such a number: last epochs of one part alone."""
        return self.given and (
            self.epochs != "last" or self.splits == ("test",)
        )

    @property
    def parts(self):
        """All parts that it reads."""
        return self.splits + (() if self.minus is None else (self.minus,))

    @property
    def formula(self):
        """What it does with its parts.

        Example
        -------
        >>> Column("D1", "n", ("train", "valid")).formula
        'train + valid'
        >>> Column("UA", "UA", ("test",), minus="valid").formula
        'test - valid'
        """
        return (" + " if self.minus is None else " - ").join(self.parts)

    def covers(self, fold):
        """Whether it is computed on runs of a fold or condition."""
        return self.condition in (None, fold)


@dataclasses.dataclass
class TableFile:
    """A table file, checked for itself; see `speechbrain_ser.table.spec`.

    Attributes
    ----------
    path, title : str
    script, hparams : str
        Paths.
    rows : dict
        Name to overrides (setting to value).
    columns : dict
        Heading to `Column`.
    reads : dict
        Row to {a column's split: the part of the run that is read instead}.
    seeds : list of int
    fold_setting : str or None
        The recipe's setting that says which fold is run.
    folds : list
        Its values; the names of the conditions where there are such; ``[None]``
        without either.
    overrides : dict
        Of all rows.
    about : dict
        Heading to {row: text}: columns of words.
    source : str or None
        Where the paper's numbers stand.
    paper : dict
        Column to {row: number, or text that begins with one}.
    stars : dict
        Symbol to the tuple of rows that a row with the symbol is better than.
    protocol : str or None
        The protocol that every run must have.
    conditions : dict
        Instead of a fold setting: name to overrides of its runs.
    compared : dict
        Row to the row that is drawn beside it, see `table.beside`.
    correction : str
        Of the p-values of two rows over the columns: ``none`` or ``holm``.
    recipes : dict
        Row to script and hparams file, of a row that names its own.
    unknown : dict
        Row to the settings of all rows that its own hparams file has not.
    lacking : set of tuple
        Row and column whose metric the row's own recipe does not report.
    lines : dict
        Place in the file, a tuple of keys, to its line, from 1.
    """

    path: str
    title: str
    script: str
    hparams: str
    rows: dict
    columns: dict
    seeds: list
    fold_setting: str = None
    folds: list = dataclasses.field(default_factory=lambda: [None])
    overrides: dict = dataclasses.field(default_factory=dict)
    about: dict = dataclasses.field(default_factory=dict)
    source: str = None
    paper: dict = dataclasses.field(default_factory=dict)
    stars: dict = dataclasses.field(default_factory=dict)
    protocol: str = None
    reads: dict = dataclasses.field(default_factory=dict)
    conditions: dict = dataclasses.field(default_factory=dict)
    compared: dict = dataclasses.field(default_factory=dict)
    correction: str = "none"
    recipes: dict = dataclasses.field(default_factory=dict)
    unknown: dict = dataclasses.field(default_factory=dict)
    lacking: set = dataclasses.field(default_factory=set)
    lines: dict = dataclasses.field(default_factory=dict)

    @property
    def name(self):
        """The file's name without its suffix."""
        return os.path.splitext(os.path.basename(self.path))[0]

    @property
    def fold_word(self):
        """What one of `folds` is called."""
        return "condition" if self.conditions else "fold"

    def settings_of(self, fold):
        """Gives the overrides of a fold's or a condition's runs.

        Example
        -------
        >>> file = TableFile("", "", "", "", {}, {}, [], "fold", [1, 2])
        >>> file.settings_of(2)
        {'fold': 2}
        >>> file = TableFile("", "", "", "", {}, {}, [], folds=["A to B"])
        >>> file.conditions = {"A to B": {"direction": "a2b"}}
        >>> file.settings_of("A to B")
        {'direction': 'a2b'}
        """
        if self.fold_setting:
            return {self.fold_setting: fold}
        return self.conditions.get(fold, {})

    def recipe_of(self, row):
        """Gives script and hparams file of a row.

        Example
        -------
        >>> file = TableFile("", "", "ipr.py", "ipr.yaml", {}, {}, [])
        >>> file.recipes = {"probe": ("probe.py", "probe.yaml")}
        >>> file.recipe_of("probe"), file.recipe_of("IPR")
        (('probe.py', 'probe.yaml'), ('ipr.py', 'ipr.yaml'))
        """
        return self.recipes.get(row, (self.script, self.hparams))

    def folds_of(self, column):
        """Gives the folds, or conditions, that a column reads."""
        return [fold for fold in self.folds if column.covers(fold)]

    def over_seeds(self, column):
        """Whether a column's mean goes over seeds, not over folds.

        What its interval and tests go over: see `speechbrain_ser.table.units`.
        """
        return (
            column.folds == "pooled"
            or len(self.folds) == 1
            or bool(self.conditions)
        )

    def part_of(self, row, split):
        """Gives the part of a row's runs that is read as a split.

        Example
        -------
        >>> file = TableFile("", "", "", "", {"a": {}, "b": {}}, {}, [])
        >>> file.reads = {"b": {"test": "test_512"}}
        >>> file.part_of("a", "test"), file.part_of("b", "test")
        ('test', 'test_512')
        """
        return self.reads.get(row, {}).get(split, split)

    def column_of(self, row, name):
        """Gives a column with the parts that a row reads as its splits."""
        column = self.columns[name]
        parts = tuple(self.part_of(row, split) for split in column.splits)
        minus = self.part_of(row, column.minus)
        given = (row, name) not in self.lacking
        return dataclasses.replace(
            column, splits=parts, minus=minus, given=given
        )

    def same_reading(self, row, other):
        """Whether two rows read the same parts, whatever the column."""
        return all(
            self.column_of(row, name) == self.column_of(other, name)
            for name in self.columns
        )

    def protocol_of(self, fold, protocol):
        """Gives a run's protocol without the changes that name its fold.

        Example
        -------
        >>> file = TableFile("", "", "", "", {}, {}, [], "fold", [1, 2])
        >>> file.protocol_of(2, "loso@1 with share 0.2, fold 2")
        'loso@1 with share 0.2'
        >>> file.protocol_of(1, "loso@1 with fold 1")
        'loso@1'
        """
        name, _, changes = str(protocol).partition(" with ")
        settings = self.settings_of(fold).items()
        own = [f"{setting} {value}" for setting, value in settings]
        kept = [change for change in changes.split(", ") if change not in own]
        return " with ".join(filter(None, [name, ", ".join(kept)]))

    def where(self, *place):
        """Names the file and the line of a place, or of what it stands in."""
        while place and place not in self.lines:
            place = place[:-1]
        line = f", line {self.lines[place]}" if place else ""
        return f"{self.path}{line}"

    def where_fold(self, fold):
        """Names the file and the line of a condition, or of the folds."""
        if self.conditions:
            return self.where("conditions", fold)
        return self.where("folds", self.fold_setting)


@dataclasses.dataclass
class Run:
    """One training of the grid.

    Attributes
    ----------
    row : str
        The row, or the first of those, whose cells it fills.
    fold : object
        One of the table's `folds`.
    seed : int
    key : str
        SHA-256 of what decides its result.
    folder : str
        Where its files are, or will be.
    status : str
        ``done``, ``running``, ``queued``, ``failed``, ``missing`` or
        ``foreign``.
    note : str
        Why it failed, is foreign or, though finished, is missing.
    metrics : dict or None
        Its ``metrics.json`` when done.
    more_rows : tuple of str
        Rows that read other parts of it.
    fold_word : str
        See `TableFile.fold_word`.
    report : str or None
        SHA-256 of what decides what is reported of the result; None: whatever
        is reported will do.
    compared : str or None
        Key of the run that its report must show, see `table.beside`.
    more_seeds : tuple of int
        Other seeds that it stands for, as none makes a difference.
    """

    row: str
    fold: object
    seed: int
    key: str
    folder: str
    status: str = MISSING
    note: str = ""
    metrics: dict = None
    more_rows: tuple = ()
    fold_word: str = "fold"
    report: str = None
    compared: str = None
    more_seeds: tuple = ()

    @property
    def seeds(self):
        """All seeds that it stands for."""
        return (self.seed, *self.more_seeds)

    @property
    def seed_text(self):
        """All seeds that it stands for, as words."""
        return ", ".join(map(str, self.seeds))

    @property
    def rows(self):
        """All rows whose cells it fills."""
        return (self.row, *self.more_rows)

    @property
    def name(self):
        """Rows, fold or condition, and seed in words."""
        also = f" (also {', '.join(self.more_rows)})" if self.more_rows else ""
        fold = "" if self.fold is None else f", {self.fold_word} {self.fold}"
        word = "seeds" if self.more_seeds else "seed"
        return f"{self.row}{also}{fold}, {word} {self.seed_text}"


@dataclasses.dataclass
class Cell:
    """One column of one row.

    All numbers are as the column shows them: shares in per cent.

    Attributes
    ----------
    values : list of float
        One for each unit (see `unit`) that has a result.
    mean : float or None
    std : float or None
        Over the units (ddof 1); None for fewer than two.
    interval : tuple of float or None
        95 % interval of the mean by Student's t over the units.
    speakers : tuple of float or None
        95 % interval by bootstrap over the evaluated speakers.
    unit : str
        ``folds``, ``speakers`` or ``seeds``: what std, interval and tests go
        over, see `speechbrain_ser.table.units`.
    runs, planned : int
        Runs in the mean, and runs that belong in it; none belong in a mean
        over the last epochs of a part that has no such mean.
    problems : list of str
        Why runs are left out, or why there is no number at all.
    paper : str or None
        The paper's, as it prints it.
    stars : str
        Symbols of `TableFile.stars`.
    p_values : dict
        Other row to the p-value of the paired t-test; None where there is
        none. It decides on the stars.
    flips : dict
        The same of the sign-flip test.
    tested : dict
        Other row to the number of units of both tests.
    """

    values: list
    mean: float = None
    std: float = None
    interval: tuple = None
    speakers: tuple = None
    unit: str = "seeds"
    runs: int = 0
    planned: int = 0
    problems: list = dataclasses.field(default_factory=list)
    paper: str = None
    stars: str = ""
    p_values: dict = dataclasses.field(default_factory=dict)
    flips: dict = dataclasses.field(default_factory=dict)
    tested: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Table:
    """A table with its numbers.

    Attributes
    ----------
    file : TableFile
    runs : list of Run
        Each once, however many rows it fills.
    cells : dict
        (row, column) to `Cell`.
    confusions : dict
        Row to its confusion matrix summed over the runs, or None.
    labels : list of str
        The classes of the matrices.
    notes : list of str
        Sentences that stand under the table: what mean, interval and stars
        are, which data and protocol, what is missing.
    """

    file: TableFile
    runs: list
    cells: dict
    confusions: dict
    labels: list
    notes: list
