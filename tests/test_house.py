"""The house: which room may import which, and how large a thing may be."""

import ast
import itertools
import re

import pytest

from tests.recipes.helpers import ROOT

HOME = ROOT / "speechbrain_ser"
SCRIPTS = sorted((ROOT / "recipes").glob("*/*.py"))
HPARAMS = sorted((ROOT / "recipes").glob("*/hparams/*.yaml"))
# Room (a folder, or a module of the root) to the rooms that it may import.
LOWEST = {"utils"}
LOBES = LOWEST | {"lobes", "losses", "schedules"}
DATA = LOBES | {"data"}
BRAIN = DATA | {"brain", "divergence", "prediction", "scores", "stepping"}
EVALUATION = BRAIN | {"methods", "evaluation", "figures"}
EXPERIMENT = BRAIN | {"evaluation", "experiment"}
MAY_IMPORT = {
    "utils": LOWEST,
    "lobes": LOWEST | {"lobes"},
    "losses": LOWEST | {"lobes"},
    "schedules": LOWEST,
    "scores": set(),
    "divergence": LOWEST,
    "stepping": LOWEST,
    "prediction": LOWEST | {"scores"},
    "data": DATA,
    "brain": BRAIN,
    "methods": BRAIN | {"methods"},
    "figures": LOWEST | {"figures"},
    "evaluation": EVALUATION,
    "corpora": LOWEST | {"corpora"},
    "experiment": EXPERIMENT | {"corpora"},
    "table": EXPERIMENT | {"figures", "table"},
    "inference": EXPERIMENT | {"corpora", "inference", "methods"},
    "label": {"inference"},
    "_torch_pair": set(),
    "__init__": {"_torch_pair"},
}
# What of a room may be imported, where it is not all of it.
ALONE = {
    ("experiment", "corpora"): ("annotations", "protocols"),
    ("table", "evaluation"): ("metrics",),
}
LONGEST_FILE, LONGEST_CLASS, LONGEST_FUNCTION = 450, 350, 60


def modules():
    """Every file of the package, with its place in it."""
    return [
        (path, path.relative_to(HOME).with_suffix("").parts)
        for path in sorted(HOME.rglob("*.py"))
    ]


def imported(path):
    """The dotted names of this package that a file imports, at any depth."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    prefix = "speechbrain_ser."
    return [n.removeprefix(prefix) for n in found if n.startswith(prefix)]


def test_imports_go_one_way():
    """A room imports itself and those below it, no other."""
    wrong = []
    for path, parts in modules():
        allowed = MAY_IMPORT[parts[0]]
        for name in imported(path):
            room, *rest = name.split(".")
            fit = (
                room in allowed
                or not (HOME / room).exists()
                and (not (HOME / f"{room}.py").exists())
            )
            alone = ALONE.get((parts[0], room))
            if alone is not None:
                fit = rest[0] in alone
            if not fit:
                wrong.append(f"{'/'.join(parts)} imports {name}")
    assert wrong == []


def test_every_room_has_its_rule():
    """A new room is thought about; the root stays small."""
    rooms = {parts[0] for _, parts in modules()}
    assert rooms == set(MAY_IMPORT)
    assert len(list(HOME.glob("*.py"))) <= 10


@pytest.mark.parametrize("room", ["methods", "corpora", "evaluation"])
def test_siblings_know_nothing_of_each_other(room):
    """No method imports another's file, nor a corpus another corpus."""
    of = {
        "methods": (
            *("ipr", "lpmn", "gmp_atl", "dann", "menan"),
            *("joint", "probe"),
        ),
        "evaluation": ("ipr", "lpmn", "gmp_atl", "dann", "menan", "joint"),
        "corpora": (
            "iemocap",
            "mer2023",
            "recola",
            "cmu_mosei",
            "emodb",
            "ravdess",
            "nemo",
            "manifest",
        ),
    }[room]
    wrong = []
    for path in (HOME / room).rglob("*.py"):
        own = [name for name in of if path.stem.startswith(name)]
        if path.stem == "named" or not own:
            continue  # the list of all protocols, and what all share
        for name in imported(path):
            if name.startswith(f"{room}."):
                others = [n for n in of if n in name and n not in own]
                wrong += [f"{path.stem}: {name}"] * bool(others)
    assert wrong == []


def test_the_frame_knows_no_guest():
    """No method and no corpus's protocol is named in experiment/, table/."""
    wrong = []
    for room in ("experiment", "table"):
        for path in (HOME / room).glob("*.py"):
            for name in imported(path):
                guests = ("methods.", "corpora.protocols.")
                kept = (
                    "corpora.protocols.checks",
                    "corpora.protocols.content",
                    "corpora.protocols.protocol",
                )
                if name.startswith(guests) and not name.startswith(kept):
                    wrong.append(f"{path.name}: {name}")
    assert wrong == []


def pieces():
    """Every class and function of package, recipes, tools and benchmarks."""
    for folder in ("speechbrain_ser", "recipes", "tools", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for node in ast.walk(tree):
                kinds = (ast.ClassDef, ast.FunctionDef)
                if isinstance(node, kinds):
                    yield path, node


def test_nothing_is_too_long():
    """Files, classes and functions, with their docstrings."""
    wrong = [
        f"{path.relative_to(ROOT)}: {len(lines)} lines"
        for folder in ("speechbrain_ser", "recipes", "tools", "benchmarks")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for lines in [path.read_text(encoding="utf-8").splitlines()]
        if len(lines) > LONGEST_FILE
    ]
    for path, node in pieces():
        length = node.end_lineno - node.lineno + 1
        most = LONGEST_FUNCTION
        if isinstance(node, ast.ClassDef):
            most = LONGEST_CLASS
        if length > most:
            wrong.append(f"{path.relative_to(ROOT)}: {node.name} {length}")
    assert wrong == []


@pytest.mark.parametrize(
    "path", SCRIPTS, ids=lambda p: f"{p.parent.name}-{p.stem}"
)
def test_a_recipe_is_short_and_names_three_keys(path):
    """Forty to eighty lines: the paper, corpus, protocol, method."""
    text = path.read_text(encoding="utf-8")
    assert 40 <= len(text.splitlines()) <= 80
    named = set(re.findall(r'hparams\["(\w+)"\]', text))
    assert named <= {"brain", "corpus", "experiment", "reader"}
    assert "Reference:" in ast.get_docstring(ast.parse(text))


def own_lines(path):
    """The lines of a recipe besides docstring, imports and the frame's call."""
    text = path.read_text(encoding="utf-8")
    framed = (ast.Import, ast.ImportFrom, ast.If, ast.Expr, ast.Return)
    skipped = {
        number
        for node in ast.walk(ast.parse(text))
        if isinstance(node, framed)
        and (not isinstance(node, ast.Return) or "experiment" in ast.dump(node))
        for number in range(node.lineno, node.end_lineno + 1)
    }
    return [
        line.strip()
        for number, line in enumerate(text.splitlines(), 1)
        if number not in skipped and line.strip()
    ]


def test_recipes_share_no_six_lines():
    """But imports and the frame's call."""
    runs = {}
    for path in SCRIPTS:
        lines = own_lines(path)
        runs[path] = {tuple(lines[i : i + 6]) for i in range(len(lines) - 5)}
    for one, other in itertools.combinations(runs, 2):
        assert not runs[one] & runs[other], (one, other)


def test_methods_read_no_hparams():
    """Each setting is an argument."""
    for path in [*(HOME / "methods").glob("*.py"), HOME / "brain.py"]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"self\.hparams\.", text), path


@pytest.mark.parametrize(
    "path", HPARAMS, ids=lambda p: f"{p.parts[-3]}-{p.stem}"
)
def test_a_key_stands_above_its_references(path):
    """And no file includes another."""
    known = set()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split(" #")[0]
        assert "!include" not in line
        if "!ref" in line:
            for name in re.findall(r"<(\w+)[.\w\[\]]*>", line):
                assert name in known, f"line {number}: {name}"
        key = re.match(r"([A-Za-z_]\w*):", line)
        if key:
            known.add(key[1])


def test_the_longest_files_are_there():
    """So that `conftest.LONGEST` begins with them."""
    from conftest import LONGEST

    assert [
        name for name in LONGEST if not (ROOT / "tests" / name).is_file()
    ] == []
