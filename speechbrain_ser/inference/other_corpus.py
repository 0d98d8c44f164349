"""Labelled speech for a model that was made elsewhere: whose classes it shares."""

import collections
import os

from speechbrain_ser.corpora.class_words import as_mapping, map_words
from speechbrain_ser.utils.errors import InputError

CORPORA = {"emodb": "EMO-DB", "nemo": "nEMO", "ravdess": "RAVDESS"}


def read_corpus(corpus, data_folder, manifest, class_map=None, data_root=None):
    """Reads all classes of an open corpus, or of a manifest.

    Arguments
    ---------
    corpus : str or None
        Of `CORPORA`.
    data_folder : str or None
        The corpus's.
    manifest : str or None
        CSV or JSON instead.
    class_map : str or dict, optional
        Words of the corpus and the classes that they become, see
        `corpora.class_words`.
    data_root : str, optional
        Of a manifest's relative paths.

    Returns
    -------
    name : str
        Of the corpus, for the report.
    entries : dict
        Id -> entry; what has no emotion is left out.
    unlabelled : int
        How many that are.

    Raises
    ------
    InputError
        If it is not clear what to read, or it can't be read.
    """
    from speechbrain_ser.corpora.chosen import read_chosen
    from speechbrain_ser.corpora.manifest import read_manifest

    read = read_chosen(
        {word: whole(word) for word in CORPORA},
        read_manifest,
        corpus,
        data_folder,
        manifest,
        None,
        class_map,
        data_root,
    )
    name = CORPORA.get(corpus)
    if manifest is None:
        where = {key: f"the recording {key}" for key in read}
        chosen = as_mapping(class_map)
        read = map_words(read, where, chosen, None, f"'{data_folder}'")
    else:
        name = os.path.splitext(os.path.basename(manifest))[0]
    known = {k: e for k, e in read.items() if e.get("emotion") is not None}
    return name, known, len(read) - len(known)


def whole(word):
    """Returns what reads all classes of an open corpus, whatever is asked for.

    Arguments
    ---------
    word : str
        Of `CORPORA`.
    """

    def read(data_folder, labels):
        """Reads it."""
        if word == "emodb":
            from speechbrain_ser.corpora.emodb import COUNTS, read_emodb

            return read_emodb(data_folder, list(COUNTS))
        if word == "nemo":
            from speechbrain_ser.corpora.nemo import COUNTS, read_nemo

            return read_nemo(data_folder, list(COUNTS))
        from speechbrain_ser.corpora.ravdess import COUNTS, read_ravdess

        return read_ravdess(data_folder, list(COUNTS))

    return read


def shared_classes(entries, model_labels, asked_for=None):
    """Keeps what a model can name.

    Arguments
    ---------
    entries : dict
        Id -> entry with ``emotion``.
    model_labels : list of str
    asked_for : list of str, optional
        The classes that are looked at; default: all of the model's.

    Returns
    -------
    kept : dict
        Id -> entry.
    facts : dict
        ``left_out``: word -> utterances of what the model has no class for, or
        nobody asked for; ``classes_without_speech``: those of the model that
        nobody shows. It may name them, wrongly; they are left out of the means.

    Raises
    ------
    InputError
        If nothing is left, or a class is asked for that the model has not.

    Example
    -------
    >>> entries = {"a": {"emotion": "sad"}, "b": {"emotion": "bored"}}
    >>> shared_classes(entries, ["sad", "ang"])[1]
    {'left_out': {'bored': 1}, 'classes_without_speech': ['ang']}
    """
    wanted = list(model_labels if asked_for is None else asked_for)
    for word in wanted:
        if word not in model_labels:
            raise InputError(
                f"--labels has {word!r}, which the model does not know: give "
                f"some of {', '.join(model_labels)}"
            )
    kept = {k: e for k, e in entries.items() if e["emotion"] in wanted}
    left = collections.Counter(
        e["emotion"] for e in entries.values() if e["emotion"] not in wanted
    )
    if not kept:
        there = ", ".join(sorted(left)) or "none"
        of = "of the model's" if asked_for is None else "of --labels'"
        raise InputError(
            f"no utterance is {of} classes {', '.join(wanted)} (there are "
            f"{there}): give --map WORD={wanted[0]}, with a word of the corpus "
            "on the left"
        )
    shown = {e["emotion"] for e in kept.values()}
    return kept, {
        "left_out": dict(sorted(left.items())),
        "classes_without_speech": [w for w in model_labels if w not in shown],
    }


def may_have_trained(name, card):
    """Whether a corpus is what a model was trained on, by its name.

    Arguments
    ---------
    name : str
    card : dict
        The model's; ``corpus`` may name several, or be missing.

    Returns
    -------
    bool or None
        None where the card names none.

    Example
    -------
    >>> may_have_trained("EMO-DB", {"corpus": "nEMO and emodb"})
    True
    """
    trained_on = card.get("corpus")
    if not trained_on:
        return None

    def letters(text):
        """What is left of it without case and signs."""
        return "".join(c for c in str(text).casefold() if c.isalnum())

    return letters(name) in letters(trained_on)
