"""Reading table files: the good one, bad ones, and anything at all."""

import random
import re

import pytest

from speechbrain_ser.table.layout import Column
from speechbrain_ser.table.spec import read_table
from speechbrain_ser.utils.errors import InputError
from tests.table.stub import CROSS

GOOD = """\
title: IPR and its baselines
script: ../train_ipr.py
hparams: ../hparams/ipr.yaml
protocol: iemocap-ambiguity@1
seeds: [1, 2, 3]
folds: {held_out_session: [1, 2, Ses03]}
overrides: {number_of_epochs: 50, lr: 1e-5, merge_excited: True}
rows:
  baseline: {system: baseline}
  baseline+: {system: baseline_plus, lr: 0.01, labels: [ang, 2, null]}
  IPR:
  128:
    self_evaluations: false
    precise_size: null
    word: yes
about:
  Train: {baseline: D1, 128: 1710}
columns:
  Acc (%): {metric: WA, split: test}
  UA (%): {metric: UA, split: test, epochs: last, folds: pooled}
  Loss: {metric: loss, split: valid, better: lower}
  D1: {metric: n, split: [train, valid]}
stars:
  "*": baseline
  "★": [baseline, 128]
paper:
  source: Sun et al. 2024, Table 3, https://arxiv.org/abs/2408.00325
  Acc (%): {baseline: 72.30, baseline+: 66.85*, 128: -4}
"""


@pytest.fixture
def table(tmp_path):
    """Writes a table file among the files it names; returns its path."""
    for name in ("train_ipr.py", "hparams/ipr.yaml", "tables/ipr.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    def write(text):
        path = tmp_path / "tables/ipr.yaml"
        if isinstance(text, str):
            text = text.encode()
        path.write_bytes(text)
        return str(path)

    return write


def refusal(path):
    """The line and the sentence with which a file is refused."""
    with pytest.raises(InputError) as caught:
        read_table(path)
    place = re.escape(str(path))
    found = re.fullmatch(rf"{place}(?:, line (\d+))?: (.+)", str(caught.value))
    assert found, str(caught.value)
    return found[1] and int(found[1]), found[2]


def test_a_good_file_is_read_exactly(table, tmp_path):
    found = read_table(table(GOOD))
    assert found.title == "IPR and its baselines"
    assert found.name == "ipr"
    assert found.script == str(tmp_path / "train_ipr.py")
    assert found.hparams == str(tmp_path / "hparams/ipr.yaml")
    assert found.protocol == "iemocap-ambiguity@1"
    assert found.seeds == [1, 2, 3]
    assert found.fold_setting == "held_out_session"
    assert found.folds == [1, 2, "Ses03"]
    # as text: True is not 1 there, nor 72.30 72.3
    assert repr(found.overrides) == (
        "{'number_of_epochs': 50, 'lr': 1e-05, 'merge_excited': True}"
    )
    assert repr(found.rows) == (
        "{'baseline': {'system': 'baseline'}, 'baseline+': {'system': "
        "'baseline_plus', 'lr': 0.01, 'labels': ['ang', 2, None]}, 'IPR': {}, "
        "'128': {'self_evaluations': False, 'precise_size': None, "
        "'word': 'yes'}}"
    )
    assert found.about == {"Train": {"baseline": "D1", "128": "1710"}}
    assert list(found.columns.values()) == [
        Column("Acc (%)", "WA", ("test",)),
        Column("UA (%)", "UA", ("test",), epochs="last", folds="pooled"),
        Column("Loss", "loss", ("valid",), better="lower"),
        Column("D1", "n", ("train", "valid")),
    ]
    assert list(found.columns) == ["Acc (%)", "UA (%)", "Loss", "D1"]
    assert found.stars == {"*": ("baseline",), "★": ("baseline", "128")}
    assert found.source.endswith("Table 3, https://arxiv.org/abs/2408.00325")
    assert found.paper == {
        "Acc (%)": {"baseline": "72.30", "baseline+": "66.85*", "128": "-4"}
    }


@pytest.mark.parametrize(
    "place, line",
    [
        (("title",), 1),
        (("seeds", 2), 5),
        (("folds", "held_out_session"), 6),
        (("overrides", "lr"), 7),
        (("rows", "IPR"), 11),
        (("rows", "128", "precise_size"), 14),
        (("about", "Train", "128"), 17),
        (("columns", "UA (%)"), 20),
        (("columns", "UA (%)", "metric"), 20),
        (("stars", "★"), 25),
        (("paper", "source"), 27),
        (("paper", "Acc (%)", "baseline+"), 28),
    ],
)
def test_every_place_has_its_line(table, place, line):
    found = read_table(table(GOOD))
    assert found.lines[place] == line
    assert found.where(*place) == f"{found.path}, line {line}"


def test_what_is_optional_may_be_left_out_or_empty(table):
    text = """\
title: A table
script: ../train_ipr.py
hparams: ../hparams/ipr.yaml
seeds: 7
rows: {as it is: {}}
columns: {UA: {metric: UA, split: test}}
"""
    names = ["protocol", "folds", "overrides", "reads", "about", "stars"]
    names.append("conditions")
    empty = "".join(f"{name}:\n" for name in [*names, "paper"])
    for found in (read_table(table(text)), read_table(table(text + empty))):
        assert found.seeds == [7] and found.rows == {"as it is": {}}
        assert found.fold_setting is None and found.folds == [None]
        assert found.protocol is None and found.source is None
        assert found.overrides == found.about == {}
        assert found.stars == found.paper == {}


# What is replaced in the good file, by what, the line and words of the error.
BAD = [
    ("title:", "titl:", 1, "titl.*write title"),
    ("title:", "zzz:", 1, "zzz.*give one of title, script"),
    ("title: IPR and its baselines", "title: 12", 1, "12.*quotes"),
    ("title: IPR and its baselines", "title:", 1, "title.*empty"),
    ("title: IPR", "title: !new:os.system IPR", 1, "tag.*new:os.system"),
    ("title: IPR", "title: !!python/name:os IPR", 1, "tag.*python/name:os"),
    ("title: IPR", "title: &here IPR", 1, "anchor here"),
    ("title: IPR", "title: *here", 1, "undefined alias"),
    ("title: IPR", "title:\t[", 1, "YAML"),
    ("title: IPR and", 'title: "\\UFFFFFFFF"', None, "escape"),
    ("script: ../train_ipr.py\n", "", None, "the table has no 'script'"),
    ("../train_ipr.py", "train_ipr.py", 2, "tables/train_ipr.py.*folder"),
    ("../hparams/ipr.yaml", "../hparams", 3, "there is no file"),
    ("iemocap-ambiguity@1", "[a, b]", 4, "protocol.*text"),
    ("protocol:", "title:", 4, "'title' is in line 1 too"),
    ("seeds: [1, 2, 3]", "seeds: []", 5, "empty"),
    ("seeds: [1, 2, 3]", "seeds:\n- 1\n- 2\n- 1", 8, "1 is in the list twice"),
    ("seeds: [1, 2, 3]", "seeds: [1, true]", 5, "True is no seed"),
    ("seeds: [1, 2, 3]", "seeds: 1.0", 5, "1.0 is no seed"),
    ("seeds: [1, 2, 3]", "seeds: [-1]", 5, "-1 is no seed"),
    ("seeds: [1, 2, 3]", "seeds: [4294967296]", 5, "no seed"),
    ("seeds: [1, 2, 3]", "seeds: 0x10", 5, "decimal"),
    ("1, 2, Ses03]", "2, '2']", 6, "'2' is in the list twice"),
    ("1, 2, Ses03]", "]", 6, "held_out_session.*empty"),
    ("1, 2, Ses03]", "null]", 6, "empty is no fold"),
    ("1, 2, Ses03]}", "1, 2], corpus: [A]}", 6, "one setting"),
    ("{held_out_session:", "{seed:", 6, "seed.*under seeds"),
    ("overrides: {", "overrides: {seed: 4, ", 7, "'seed' is set by seeds"),
    ("lr: 1e-5", "held_out_session: 5", 7, "set by folds"),
    ("lr: 1e-5", "lr: {a: 1}", 7, "'lr'.*number"),
    ("lr: 1e-5", "lr: [1, [{a: 1}]]", 7, "'lr'.*number"),
    ("lr: 1e-5", "lr: .nan", 7, "finite"),
    ("lr: 1e-5", "lr: 1e999", 7, "finite"),
    ("lr: 1e-5", "lr: !ref <x>", 7, "tag '!ref'"),
    ("lr: 1e-5", f"lr: {'9' * 5000}", 7, "999 .*int"),
    ("lr: 1e-5", f"lr: {'[' * 20 + ']' * 20}", 7, "too deep"),
    ("lr: 1e-5", f"lr: {'[' * 500 + ']' * 500}", None, "too deep"),
    ("{system: baseline}", "{seed: 2}", 9, "'seed' is set by seeds"),
    ("{system: baseline}", "{held_out_session: 2}", 9, "set by folds"),
    ("{system: baseline}", "baseline", 9, "'baseline'.*settings"),
    ("{system: baseline}", "{}\n  baseline: {a: 1}", 10, "in line 9 too"),
    ("{system: baseline}", "{<<: {a: 1}}", 9, "tag 'merge'"),
    # the common overrides count: with them the rows are the same
    ("{system: baseline}", "{lr: 1e-5}", 11, "'IPR' is the same as.*'base"),
    ("  IPR:\n", '  "128":\n', 12, "'128' is in line 11 too"),
    ("  IPR:\n", '  "":\n', 11, "no name"),
    ("  IPR:\n", '  "a\\nb":\n', 11, "no name"),
    ("  IPR:\n", "  ? [a, b]\n  :\n", 11, "no name"),
    ("{baseline: D1, 128", "{baselne: D1, 128", 17, "baselne.*write baseline"),
    ("{baseline: D1, 128", "{baseline: , 128", 17, "'baseline' is empty"),
    ("  Train:", "  Loss:", 17, "'Loss' is in columns too"),
    ("  Loss: {metric", "  source: {metric", 21, "source.*another heading"),
    ("  Loss: {metric: loss, ", "  Loss: {", 21, "'Loss' has no 'metric'"),
    ("metric: loss", "metric: 3", 21, "'metric' is 3.*text"),
    ("metric: loss", "metrik: loss", 21, "metrik.*write metric"),
    ("split: valid,", "split: [valid],", 21, "loss is of one split"),
    ("split: valid,", "split: {a: b},", 21, "'split'.*text"),
    ("better: lower", "better: less", 21, "'less'.*higher or lower"),
    ("epochs: last", "epochs: [last]", 20, "selected or last"),
    ("folds: pooled", "folds: null", 20, "mean or pooled"),
    ("folds: {held_out_session: [1, 2, Ses03]}\n", "", 19, "no folds to pool"),
    ("[train, valid]", "[train, train]", 22, "twice"),
    (
        "[train, valid]",
        "[precise, valid]",
        22,
        "precise is now called train: write train",
    ),
    (
        "split: valid,",
        "split: validation,",
        21,
        "validation is now called valid: write valid",
    ),
    (
        "split: valid,",
        "split: valid, minus: ambiguous,",
        21,
        "ambiguous is now called unlabelled: write unlabelled",
    ),
    ("[train, valid]", "[]", 22, "empty"),
    ("[train, valid]", "[train, 4]", 22, "'split' is 4"),
    (
        "  Loss: {metric: loss, split: valid, better: lower}",
        "  Loss:",
        21,
        "em",
    ),
    ('"*": baseline', '"*": other', 24, "no row 'other'"),
    ('"*": baseline', '"*": []', 24, "'\\*' is empty"),
    ('"*": baseline', '"*":', 24, "'\\*' is empty"),
    ('"*": baseline', '"*": {a: b}', 24, "no row"),
    ('"*": baseline', "*: baseline", 24, "alias"),
    ("[baseline, 128]", "[baseline, baseline]", 25, "twice"),
    ("  source: Sun", "  sauce: Sun", 27, "sauce.*write source"),
    ("  Acc (%): {baseline: 7", "  Acc: {baseline: 7", 28, "write Acc .%."),
    ("baseline+: 66", "baseline++: 66", 28, "write baseline"),
    ("66.85*", "about 66", 28, "'about 66' begins with no number"),
    ("66.85*", "[66]", 28, "begins with no number"),
    ("66.85*", "null", 28, "begins with no number"),
    (GOOD[GOOD.index("  source") : GOOD.index("  Acc (%): {b")], "", 26, "sou"),
    (GOOD, "title: 1\n---\ntitle: 2\n", 2, "another document"),
    (GOOD, "", None, "title, script, hparams"),
    (GOOD, "- title\n", None, "no table"),
    (GOOD, "a\x00b", None, "control character"),
    (GOOD[GOOD.index("rows:") : GOOD.index("about:")], "rows:\n", 8, "rows"),
    (
        GOOD[GOOD.index("columns:") : GOOD.index("stars:")],
        "columns: []\n",
        18,
        "",
    ),
]


@pytest.mark.parametrize("old, new, line, words", BAD)
def test_a_bad_file_is_refused_with_its_line(table, old, new, line, words):
    assert GOOD.count(old) == 1
    found, sentence = refusal(table(GOOD.replace(old, new)))
    assert found == line
    assert re.search(words, sentence), sentence


def test_a_file_that_cannot_be_read_is_refused(table, tmp_path):
    assert "No such file" in refusal(str(tmp_path / "none.yaml"))[1]
    assert "directory" in refusal(str(tmp_path))[1]
    assert "UTF-8" in refusal(table("title: Säle".encode("latin-1")))[1]
    assert "UTF-8" in refusal(table(bytes(range(256))))[1]


SHARED = """\
title: A table
script: ../train_ipr.py
hparams: ../hparams/ipr.yaml
seeds: 7
rows:
  all: {}
  ps-512: {}
  ps-200: {}
  other: {lr: 0.1}
columns:
  UA: {metric: UA, split: test}
  n: {metric: n, split: [train, test]}
reads:
  ps-512: {test: test_512}
  ps-200:
    test: test_200
    train: test
"""


def test_rows_may_be_one_run_if_they_read_other_parts(table):
    found = read_table(table(SHARED))
    assert found.reads == {
        "ps-512": {"test": "test_512"},
        "ps-200": {"test": "test_200", "train": "test"},
    }
    assert found.where("reads", "ps-200", "train").endswith("line 17")
    splits = {
        row: [found.column_of(row, name).splits for name in ("UA", "n")]
        for row in found.rows
    }
    plain = [("test",), ("train", "test")]
    assert splits == {
        "all": plain,
        "ps-512": [("test_512",), ("train", "test_512")],
        "ps-200": [("test_200",), ("test", "test_200")],
        "other": plain,
    }
    assert read_table(table(GOOD)).reads == {}


# What is replaced in the file above, by what, the line and words of the error.
BAD_READS = [
    ("ps-512: {test:", "ps-51: {test:", 14, "row 'ps-51'.*ps-512"),
    ("{test: test_512}", "{tst: a}", 14, "split 'tst'.*write test"),
    ("{test: test_512}", "{valid: a}", 14, "no column.*'valid'"),
    ("{test: test_512}", "test_512", 14, "each with a colon"),
    ("{test: test_512}", "{}", 14, "'ps-512' is empty"),
    ("test_512}", "512}", 14, "'test' is 512.*quotes"),
    ("test_512}", "[a, b]}", 14, "give a text"),
    ("test_512}", "}", 14, "'test' is empty"),
    ("    train: test\n", "    train:\n", 17, "'train' is empty"),
    (
        "{test: test_512}",
        "{test: evaluation_512}",
        14,
        "evaluation_512 is now called test_512: write test_512",
    ),
    (
        "{test: test_512}",
        "{evaluation: test_512}",
        14,
        "evaluation is now called test: write test",
    ),
    (SHARED[SHARED.index("  ps-512: {t") :], "  - a\n", 13, "names"),
    # two rows that read the same of one run, whoever else reads more
    (SHARED[SHARED.index("reads:") :], "", 7, "'ps-512' is the same.*'all'"),
    ("test: test_512", "test: test", 7, "'all'.*reads"),
    (
        "{test: test_512}",
        "{test: test_200, train: test}",
        8,
        "'ps-200' is the same as row 'ps-512'",
    ),
    ("{lr: 0.1}", "{}", 9, "'other' is the same as row 'all'"),
]


@pytest.mark.parametrize("old, new, line, words", BAD_READS)
def test_bad_reads_are_refused_with_their_line(table, old, new, line, words):
    assert SHARED.count(old) == 1
    found, sentence = refusal(table(SHARED.replace(old, new)))
    assert (found, bool(re.search(words, sentence))) == (line, True), sentence


CONDITIONS = re.sub(
    r"script: .*\nhparams: .*",
    "script: ../train_ipr.py\nhparams: ../hparams/ipr.yaml",
    CROSS,
)
VALUES = (
    "5 -1 0.5 .inf 1e400 0x1f yes null true 2024-02-30 word '' [] {} [1] {a: b}"
    " [{a: [b]}] !x !new:os &a *a <<: - ? | > % @ ` \" ' : { ] --- ... \\ \t \0"
    ' \ufeff \u2028 \ud7ff \U0001f600 "\\ud800" "\\U00110000"'
).split(" ")


def mutated(text, rng):
    """The text with one to three random changes."""
    for _ in range(rng.randint(1, 3)):
        lines = text.split("\n")
        index = rng.randrange(len(lines))
        start = rng.randrange(len(text) + 1)
        kind = rng.randrange(6)
        if kind == 0:
            del lines[index]
        elif kind == 1:
            lines.insert(rng.randrange(len(lines)), lines[index])
        elif kind == 2:
            name = lines[index].split(":")[0]
            lines[index] = f"{name}: {rng.choice(VALUES)}"
        elif kind == 3:
            lines[index] = rng.choice([" ", "  ", "\t"]) + lines[index]
        text = "\n".join(lines)
        if kind == 4:
            text = text[:start] + rng.choice(VALUES) + text[start:]
        elif kind == 5:
            words = re.findall(r"[\w.+*]+", text) or ["word"]
            text = text.replace(rng.choice(words), rng.choice(VALUES), 1)
        text = text or "title"
    return text


DIFFERENCE = SHARED.replace(
    "columns:\n",
    "columns:\n  gap: {metric: UA, split: test, minus: valid}\n"
    "  left: {metric: leakage, split: train, better: lower}\n",
)


def test_whatever_the_file_holds_no_other_error_escapes(table):
    rng = random.Random(0)
    good = 0
    for index in range(150):
        text = mutated((DIFFERENCE, GOOD, GOOD, CONDITIONS)[index % 4], rng)
        path = table(text)
        try:
            read_table(path)
            good += 1
        except InputError:
            line, sentence = refusal(path)
            assert line is None or 1 <= line <= text.count("\n") + 1
            assert ": " in sentence and sentence.encode()
            assert sentence.splitlines() == [sentence]
    assert 5 < good < 125


def test_a_table_that_moved_is_told_its_place(tmp_path, monkeypatch):
    """It lay beside the recipes; any other missing file is only missing."""
    (tmp_path / "tables" / "X").mkdir(parents=True)
    (tmp_path / "tables" / "X" / "a.yaml").write_text("title: a\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="give tables/X/a.yaml$"):
        read_table("recipes/X/tables/a.yaml")
    with pytest.raises(InputError, match="give a YAML file in UTF-8$"):
        read_table("recipes/X/tables/b.yaml")
