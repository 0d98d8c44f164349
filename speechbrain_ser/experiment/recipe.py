"""What every recipe script does before its method begins."""

import functools
import json
import logging
import os
import platform
import sys
from difflib import get_close_matches
from importlib import metadata

import speechbrain as sb
from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from speechbrain.utils.distributed import if_main_process, run_on_main

import speechbrain_ser
from speechbrain_ser.corpora.annotations import limit_duration, read_annotation
from speechbrain_ser.corpora.protocols import splits as protocols
from speechbrain_ser.utils.audio import check_audio
from speechbrain_ser.utils.errors import InputError

MINI_NOTE = (
    "No --data_folder: this runs {name} on the embedded mini corpus (synthetic "
    "voices); its numbers say nothing about {corpus}."
)

QUIET = (
    "matplotlib",
    "speechbrain.utils.epoch_loop",
    "speechbrain.utils.quirks",
    "speechbrain.nnet.schedulers",
)
# What does not change a result, and so may differ when a run goes on.
FREE_SETTINGS = (
    "data_folder",
    "output_folder",
    "save_folder",
    "ssl_folder",
    "num_workers",
    "eval_batch_size",
    "ckpt_interval_minutes",
    "skip_prep",
    "cache_folder",
    "drawn",
    "codebook",
    "audio_folder",
    "stages",
    "stages_folder",
    "label_folder",
    "recola_folder",
    "iemocap_folder",
    "base_folder",
    "speaker_probe",
    "compared_folder",
    "checkpoints",
    "labels_file",
)


def run(main, script):
    """Runs a recipe's `main` on the command line, errors in one sentence.

    Arguments
    ---------
    main : callable
        Takes the hparams path, SpeechBrain's run options and the overrides.
    script : str
        The script's ``__file__``; a hparams path that is not found from here is
        looked for beside it.
    """
    # until the experiment's own log is there
    logging.basicConfig(
        level=logging.INFO, format="%(name)s - %(message)s", stream=sys.stdout
    )
    try:
        path, run_opts, overrides = sb.parse_arguments(sys.argv[1:])
        sb.utils.distributed.ddp_init_group(run_opts)
        main(find_hparams(path, script), run_opts, overrides)
    except InputError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on from the last checkpoint")


def find_hparams(path, script):
    """Returns the path of a hparams file, from here or from beside the script.

    Arguments
    ---------
    path : str
    script : str

    Returns
    -------
    str

    Raises
    ------
    InputError
        If it is in neither place.
    """
    beside = os.path.join(os.path.dirname(os.path.abspath(script)), path)
    for candidate in (path, beside):
        if os.path.isfile(candidate):
            return candidate
    raise InputError(
        f"there is no hparams file {path}, neither here nor at {beside}"
    )


def peek(path, overrides):
    """Reads a hparams file's settings without building its objects.

    Arguments
    ---------
    path : str
    overrides : str
        YAML, as SpeechBrain's ``parse_arguments`` gives it.

    Returns
    -------
    dict
        Setting to plain value; objects and their parts are left out.

    Raises
    ------
    InputError
        If an override names no setting of the file.
    """
    loaded = YAML(typ="rt").load(resolved(path, overrides))
    return Settings(
        path,
        {
            name: plain(value)
            for name, value in loaded.items()
            if is_plain(value)
        },
    )


class Settings(dict):
    """The plain settings of a hparams file.

    Arguments
    ---------
    path : str
        The file.
    values : dict

    Example
    -------
    >>> Settings("a.yaml", {"seed": 1})["lr"]
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: a.yaml has no setting lr: ...
    """

    def __init__(self, path, values):
        super().__init__(values)
        self.path = path

    def __missing__(self, name):
        """Says which file lacks which setting."""
        raise InputError(
            f"{self.path} has no setting {name}: give a hparams file of this "
            "recipe"
        )


def on_mini_corpus(path, overrides, hparams, corpus, script, make_mini):
    """Turns a run without a corpus into one on the mini corpus, and says so.

    Arguments
    ---------
    path : str
        The hparams file.
    overrides : str
        YAML.
    hparams : str or None
        The hparams file that runs on the mini corpus; None: the same.
    corpus : str
        The corpus that is missing.
    script : str
        The recipe's ``__file__``.
    make_mini : callable
        Makes the mini corpus, returns its folder.

    Returns
    -------
    path : str
    overrides : str
    """
    if hparams:
        beside = os.path.join(os.path.dirname(path), hparams)
        path = find_hparams(beside, script)
    if if_main_process():
        name = os.path.basename(path)
        say_once(MINI_NOTE.format(name=name, corpus=corpus))
    run_on_main(make_mini)
    return path, with_overrides(
        overrides, data_folder=make_mini(), corpus="mini"
    )


def read_parts(paths, needed):
    """Reads annotations of one's own.

    Arguments
    ---------
    paths : dict
        Part to file.
    needed : tuple of str
        The parts that there must be; of the others one may be missing.

    Returns
    -------
    dict
        Part to annotation, empty where it is missing.

    Raises
    ------
    InputError
        If a file or its audio can't be used, or two parts share an utterance.
    """
    parts = {}
    for part, path in paths.items():
        if part not in needed and not os.path.exists(path):
            parts[part] = {}
            continue
        parts[part] = check_audio(read_annotation(path))
    protocols.check_disjoint(**parts)
    return parts


def shorten(parts, limit, how):
    """Cuts or splits long utterances.

    Arguments
    ---------
    parts : dict
        Part to annotation.
    limit : float or None
        Seconds.
    how : str
        See `limit_duration`.

    Returns
    -------
    parts : dict
    notes : list of str
        How many, for the log.
    """
    shortened, notes = {}, []
    for part, annotation in parts.items():
        shortened[part], changed = limit_duration(annotation, limit, how)
        if changed:
            notes.append(
                f"{part}: {changed} utterances are longer than {limit} s ({how})"
            )
    return shortened, notes


def resolved(path, overrides):
    """Reads a hparams file as YAML text with its references replaced.

    Arguments
    ---------
    path : str
    overrides : str
        YAML.

    Returns
    -------
    str

    Raises
    ------
    InputError
        If an override names no setting of the file.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return resolve_references(
                file, overrides, overrides_must_match=True
            ).read()
    except KeyError as failure:
        raise InputError(
            unknown_setting(path, overrides)
            or f"{path} has no setting for {failure}"
        ) from None
    except YAMLError as failure:
        reason = getattr(failure, "problem", None) or failure
        raise InputError(
            f"{path} and the settings on the command line do not make one YAML "
            f"file ({reason}): give each setting once, as --name value"
        ) from None


def unknown_setting(path, overrides):
    """Returns a sentence about an override that a hparams file does not have.

    Arguments
    ---------
    path : str
    overrides : str
        YAML.

    Returns
    -------
    str or None
        None if it has them all.
    """
    with open(path, encoding="utf-8") as file:
        known = list(YAML(typ="rt").load(file))
    for name in read_overrides(overrides):
        if name not in known:
            near = get_close_matches(name, known, 1)
            mend = f"did you mean --{near[0]}?" if near else "see the file"
            return f"{path} has no setting {name}: {mend}"
    return None


def is_plain(value):
    """Whether a YAML value is a number, a word, null, or a list of such."""
    tag = getattr(getattr(value, "tag", None), "value", None)
    if tag and tag.startswith("!"):
        return False
    if isinstance(value, list):
        return all(is_plain(item) for item in value)
    return isinstance(value, (str, int, float, bool, type(None)))


def plain(value):
    """Turns what the YAML reader returns into Python's own types."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def prepared(prepare, **arguments):
    """Calls a recipe's `prepare`, once for the same arguments.

    Arguments
    ---------
    prepare : callable
    **arguments : dict
        Plain values.

    Returns
    -------
    dict
        Part to annotation, shared: not to be changed.
    """
    return _prepared(prepare, json.dumps(arguments))


@functools.lru_cache(maxsize=16)
def _prepared(prepare, values):
    """Keeps what `prepare` returned, by the JSON of its arguments."""
    return prepare(**json.loads(values))


def load(path, overrides):
    """Builds the objects of a hparams file."""
    with open(path, encoding="utf-8") as file:
        return load_hyperpyyaml(file, overrides)


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


def with_overrides(overrides, **more):
    """Adds settings to YAML overrides, or replaces those that are there.

    Example
    -------
    >>> with_overrides("seed: 3", data_folder="somewhere")
    'seed: 3\\ndata_folder: "somewhere"'
    """
    kept = [
        line
        for line in overrides.splitlines()
        if line.split(":")[0] not in more
    ]
    added = [f"{name}: {json.dumps(value)}" for name, value in more.items()]
    return "\n".join(kept + added)


def read_overrides(overrides):
    """Reads YAML overrides as plain values.

    Raises
    ------
    InputError
        If they are no settings.

    Example
    -------
    >>> read_overrides("seed: 3\\nlabels: [ang, sad]\\ndata_folder: null")
    {'seed': 3, 'labels': ['ang', 'sad'], 'data_folder': None}
    """
    try:
        loaded = YAML(typ="rt").load(overrides) or {}
    except YAMLError:
        loaded = overrides
    if not isinstance(loaded, dict):
        raise InputError(
            f"the command line's {overrides!r} is no setting: give each as "
            "--name value"
        )
    return {name: plain(value) for name, value in loaded.items()}


def lasting(settings):
    """Returns the settings that change a result.

    Example
    -------
    >>> lasting({"seed": 1, "data_folder": "a", "save_folder": "b"})
    {'seed': 1}
    """
    return {
        name: value
        for name, value in settings.items()
        if name not in FREE_SETTINGS and not name.endswith("_annotation")
    }


def one_of(name, value, choices):
    """Returns `value` if it is among the choices.

    Raises
    ------
    InputError
        Naming the setting and the choices.

    Example
    -------
    >>> one_of("system", "ipr", ["ipr", "baseline"])
    'ipr'
    """
    if value not in choices:
        raise InputError(
            f"--{name} is {value!r}: give one of {', '.join(choices)}"
        )
    return value


def words_of(value):
    """Returns the words of a list, of ``a,b``, of a number, or of None.

    Example
    -------
    >>> words_of("a, b"), words_of([60, 30]), words_of(5), words_of(None)
    (['a', 'b'], ['60', '30'], ['5'], [])
    """
    if value is None:
        return []
    if not isinstance(value, list):
        value = str(value).split(",")
    return [str(word).strip() for word in value]


def check_selection(parts, settings):
    """Refuses to choose an epoch by a part that is not there.

    Arguments
    ---------
    parts : dict
        Part to annotation.
    settings : dict

    Raises
    ------
    InputError
        If the best epoch is wanted without a validation part.
    """
    if settings["model_selection"] == "best" and not parts["validation"]:
        raise InputError(
            "the best epoch can't be chosen without a validation part (no "
            f"{settings['valid_annotation']}): give --valid_share or "
            "--valid_annotation, or --model_selection last"
        )


def versions():
    """Returns the versions that a result depends on."""
    names = ("torch", "torchaudio", "speechbrain", "transformers", "numpy")
    return {
        "python": platform.python_version(),
        "speechbrain_ser": speechbrain_ser.__version__,
    } | {name: metadata.version(name) for name in names}
