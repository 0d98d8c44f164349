"""A recipe's command: values are taken whole, errors are one sentence."""

import errno
import types

import pytest

import speechbrain as sb
from speechbrain_ser.experiment.command_line import run, whole_values
from speechbrain_ser.experiment.hparams import read_overrides
from speechbrain_ser.utils.errors import InputError


@pytest.mark.parametrize(
    "value",
    [
        "x #2",
        "#2",
        "a: b",
        "@home",
        "%1",
        "*star",
        "&and",
        "!bang",
        "it's",
        "a 'b'",
        'say "x"',
        "[half",
        "{half",
        "ends:",
        "- dash",
        "? ask",
        "|",
        "> more",
        "über straße",
        "a\\b",
        "C:\\data",
        "tab\there",
        "a=b",
        " blank ",
    ],
)
@pytest.mark.parametrize("joined", [False, True])
def test_a_path_is_taken_whole(value, joined):
    """As a word of its own and behind an equals sign."""
    words = ["a.yaml", "--seed", "3", "--output_folder", value]
    if joined:
        words[-2:] = [f"--output_folder={value}"]
    _, _, overrides = sb.parse_arguments(whole_values(words))
    assert read_overrides(overrides) == {"seed": 3, "output_folder": value}


@pytest.mark.parametrize(
    "text, value",
    [
        ("3", 3),
        ("-1", -1),
        ("0.5", 0.5),
        ("1e-3", 1e-3),
        ("True", True),
        ("null", None),
        ("[a, b]", ["a", "b"]),
        ("[512,60]", [512, 60]),
        ("'on'", "on"),
        ('"3"', "3"),
    ],
)
def test_other_values_are_what_they_were(text, value):
    """Numbers, lists, switches, words in quotes."""
    words = whole_values(["a.yaml", "--x", text])
    assert read_overrides(sb.parse_arguments(words)[2]) == {"x": value}


def failing(error):
    """A recipe that dies of an error."""

    def main(*_):
        """Raises it."""
        raise error

    return types.SimpleNamespace(main=main, script=__file__)


@pytest.mark.parametrize(
    "error, said",
    [
        (InputError("no such thing"), "error: no such thing"),
        (OSError(errno.ENOSPC, "No space left", "a/b.csv"), "a/b.csv: No sp"),
        (PermissionError(errno.EACCES, "Denied", "dir"), "dir: Denied"),
        (FileNotFoundError(errno.ENOENT, "Gone", "x.wav"), "x.wav: Gone"),
        (OverflowError("int too big"), "int too big .*correct the setting"),
        (ValueError("Loss is not\nfinite"), "Loss is not finite .*setting"),
        (KeyboardInterrupt(), "stopped; the same command goes on"),
    ],
)
def test_errors_are_one_sentence(error, said, tmp_path, monkeypatch):
    """With the file; exit code 1."""
    path = tmp_path / "a.yaml"
    path.write_text("seed: 1\n")
    with pytest.raises(SystemExit, match=said) as caught:
        run(failing(error), [str(path), "--device", "cpu"])
    assert "\n" not in str(caught.value.code)


def test_a_mistake_in_the_code_is_no_bad_input(tmp_path):
    """Its traceback is what the developers need."""
    path = tmp_path / "a.yaml"
    path.write_text("seed: 1\n")
    with pytest.raises(AttributeError):
        run(failing(AttributeError("x")), [str(path)])
    with pytest.raises(ValueError):
        run(failing(ValueError("x")), [str(path), "--debug"])


def test_a_missing_hparams_file_is_named(tmp_path):
    """Both places that were looked at."""
    with pytest.raises(SystemExit, match="no hparams file none.yaml, neither"):
        run(failing(AssertionError()), ["none.yaml"])


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize(
    "value, words",
    [
        ("[1, 2]", ["1", "2"]),
        (
            "[01, 1.0, yes, No, on, off]",
            ["01", "1.0", "yes", "No", "on", "off"],
        ),
        ("[true, null, 'a b', \"x=y\"]", ["true", "null", "a b", "x=y"]),
        ("[ang, sad]", ["ang", "sad"]),
        ("[]", []),
        ("null", None),
    ],
)
def test_class_words_stay_words(value, words, joined):
    """Numbers, yes and no, in a list of --labels; null is none."""
    given = [f"--labels={value}"] if joined else ["--labels", value]
    _, _, overrides = sb.parse_arguments(whole_values(["a.yaml", *given]))
    assert read_overrides(overrides)["labels"] == words
    other = ["a.yaml", "--milestones", "[1, 2]"]
    assert whole_values(other) == other
