"""A recipe as a command: its words, its errors, its log."""

import functools
import json
import logging
import os
import sys

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from speechbrain_ser.experiment.hparams import find_hparams
from speechbrain_ser.utils.errors import InputError

QUIET = (
    "matplotlib",
    "speechbrain.utils.epoch_loop",
    "speechbrain.utils.quirks",
    "speechbrain.nnet.schedulers",
)
CLASS_WORDS = "--labels"


def run(recipe, words):
    """Runs a recipe on the command line, errors in one sentence.

    Arguments
    ---------
    recipe : Recipe
        A hparams path that is not found from here is looked for beside its
        script.
    words : list of str
        The command line's.
    """
    sb = load_speechbrain()
    # until the experiment's own log is there; SpeechBrain's loggers keep the
    # level of the process that started this one (SB_LOG_LEVEL)
    console = logging.StreamHandler(sys.stdout)
    console.setLevel(logging.INFO)
    logging.basicConfig(
        level=logging.INFO, format="%(name)s - %(message)s", handlers=[console]
    )
    run_opts = None
    try:
        path, run_opts, overrides = sb.parse_arguments(whole_values(words))
        sb.utils.distributed.ddp_init_group(run_opts)
        recipe.main(find_hparams(path, recipe.script), run_opts, overrides)
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {of_the_system(error)}")
    except (ArithmeticError, ValueError) as error:
        if run_opts is not None and run_opts.debug:
            raise
        sys.exit(f"error: {of_a_number(error)}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from the last checkpoint")


def load_speechbrain():
    """Imports SpeechBrain; ends the command where it does not load."""
    try:
        import speechbrain
    except ImportError as error:
        sys.exit(f"error: {error}")
    return speechbrain


def of_the_system(error):
    """Says what the operating system refused, and of which file."""
    names = [error.filename, error.filename2]
    where = " and ".join(str(name) for name in names if name is not None)
    reason = error.strerror or str(error) or type(error).__name__
    return (
        f"{where or 'the operating system says'}: {reason}: make room, or give "
        "a place that can be read and written"
    )


def of_a_number(error):
    """Says in one line what a number was not fit for."""
    text = " ".join(str(error).split()) or type(error).__name__
    place = error.__traceback__
    while place.tb_next is not None:
        place = place.tb_next
    code = place.tb_frame.f_code
    where = f"{os.path.basename(code.co_filename)}, line {place.tb_lineno}"
    return f"{text} ({where}): correct the setting or the file that it is of"


def whole_values(words):
    """Quotes the values that YAML would not take whole, such as ``x #2``.

    And each of the class words of ``--labels``, which may be called 1 or true.

    Arguments
    ---------
    words : list of str
        Of the command line.

    Returns
    -------
    list of str

    Example
    -------
    >>> whole_values(["a.yaml", "--output_folder", "x #2", "--seed=3"])
    ['a.yaml', '--output_folder', '"x #2"', '--seed=3']
    >>> whole_values(["--labels", "[1, yes]"])
    ['--labels', '["1", "yes"]']
    """
    made = []
    for place, word in enumerate(words):
        if word.startswith(f"{CLASS_WORDS}="):
            name, _, value = word.partition("=")
            made.append(f"{name}={in_quotes(value)}")
        elif place and words[place - 1] == CLASS_WORDS:
            made.append(in_quotes(word))
        else:
            made.append(quoted(word))
    return made


def in_quotes(value):
    """Quotes each word of a list in brackets; what is none stays as it is.

    Example
    -------
    >>> in_quotes("[01, true, ang]"), in_quotes("null")
    ('["01", "true", "ang"]', 'null')
    """
    try:
        read = YAML(typ="base", pure=True).load(value)
    except YAMLError:
        return quoted(value)
    if not isinstance(read, list) or not all(isinstance(w, str) for w in read):
        return quoted(value)
    return json.dumps(read, ensure_ascii=False).replace("=", "\\u003d")


def quoted(word):
    """Quotes a word, or what stands behind its ``=``."""
    name, equals, value = word.partition("=")
    if word.startswith("--"):
        return f"{name}={quoted(value)}" if equals and value else word
    if is_quoted(word) or is_taken_whole(word):
        return word
    # SpeechBrain splits at every equals sign
    return json.dumps(word, ensure_ascii=False).replace("=", "\\u003d")


def is_taken_whole(word):
    """Whether YAML reads a value as it stands, or as no word at all.

    Example
    -------
    >>> [is_taken_whole(word) for word in ("a", "[a, 5]", "x #2", "#2")]
    [True, True, False, False]
    """
    try:
        read = YAML(typ="safe", pure=True).load(f"x: {word}")["x"]
    except (YAMLError, TypeError, KeyError):
        return False
    if isinstance(read, str):
        return read == word and "=" not in word
    if read is None:
        return word.lower() in ("", "~", "null")
    flow = isinstance(read, (list, dict))
    return not flow or word.lstrip().startswith(("[", "{"))


def is_quoted(word):
    """Whether a word is quoted as YAML has it.

    Example
    -------
    >>> is_quoted("'a b'"), is_quoted("a b")
    (True, False)
    """
    return len(word) > 1 and word[0] == word[-1] and word[0] in "\"'"


@functools.lru_cache(maxsize=None)
def say_once(text):
    """Prints a line, the first time that it is said in this process."""
    print(text, flush=True)


def begin_log(notes=()):
    """Logs notes; silences what libraries say in each epoch and figure."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for note in notes:
        logging.getLogger(__name__).info(note)
