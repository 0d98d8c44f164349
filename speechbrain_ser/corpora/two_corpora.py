"""Any two corpora as a source and a target, with two classes of one dimension.

Where a corpus has no ratings of arousal and valence, its emotion words say
which class an utterance is of.
"""

from speechbrain_ser.corpora.pairs import TASKS
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.odd_entries import Read, odd_rows
from speechbrain_ser.utils.settings import (
    Labels,
    Number,
    OneOf,
    Setting,
    checked,
)


@checked
def read_two(
    source: Setting(),
    target: Setting(),
    task: OneOf(*TASKS) = "arousal",
    high_arousal: Labels() = ("anger", "happiness"),
    low_arousal: Labels() = ("neutral", "sadness"),
    high_valence: Labels() = ("happiness", "neutral"),
    low_valence: Labels() = ("anger", "sadness"),
    source_threshold: Number(optional=True) = None,
    target_threshold: Number(optional=True) = None,
):
    """Reads two corpora, with two classes of one dimension.

    Arguments
    ---------
    source, target : callable
        Reads the corpus and returns its annotation.
    task : str
        ``arousal`` or ``valence``.
    high_arousal, low_arousal, high_valence, low_valence : list of str
        The emotions of each class, where there is no rating.
    source_threshold, target_threshold : float, optional
        Above it a rating is of the upper class; needed where a corpus has
        ratings.

    Returns
    -------
    dict
        ``source`` and ``target`` -> annotation, whose `emotion` is the class.
        Where both have an id or a speaker of one name, all get ``source-`` or
        ``target-`` in front.

    Raises
    ------
    InputError
        If both are the same speech, or an utterance is of neither class.

    Example
    -------
    >>> german = lambda: {"a": {"wav": "a", "emotion": "anger"}}
    >>> english = lambda: {"b": {"wav": "b", "emotion": "sadness"}}
    >>> read = read_two(german, english, "arousal")
    >>> read["source"]["a"]["emotion"], read["target"]["b"]["emotion"]
    ('high', 'low')
    """
    corpora = {"source": source(), "target": target()}
    _refuse_same(corpora)
    words = {
        "arousal": (low_arousal, high_arousal),
        "valence": (low_valence, high_valence),
    }[task]
    thresholds = {"source": source_threshold, "target": target_threshold}
    read = {
        side: by_words(annotation, side, task, words, thresholds[side])
        for side, annotation in corpora.items()
    }
    return _apart(read)


def by_words(annotation, side, dimension, words, threshold=None):
    """Makes the emotion of each utterance one of two classes of a dimension.

    Arguments
    ---------
    annotation : dict
        Id -> entry with `emotion` or the dimension's rating, which comes first.
    side : str
        ``source`` or ``target``, for the errors.
    dimension : str
        Of `pairs.TASKS`.
    words : tuple of list of str
        The emotions of the lower and of the upper class.
    threshold : float, optional
        Above it a rating is of the upper class.

    Returns
    -------
    Read
        The same ids.

    Raises
    ------
    InputError
        If a rating has no threshold, or an emotion is of neither class or of
        both.
    """
    classes = TASKS[dimension]
    ends = ("low", "high")
    both = sorted(set(words[0]) & set(words[1]))
    if both:
        raise InputError(
            f"--high_{dimension} and --low_{dimension} both have "
            f"{', '.join(both)}: take it out of one."
        )
    made = {}
    for key, entry in annotation.items():
        rating = entry.get(dimension)
        if rating is not None:
            if threshold is None:
                raise InputError(
                    f"The {side}'s utterance {key} has a rating of "
                    f"{dimension}: give --{side}_threshold, above which a "
                    f"rating is {classes[1]}."
                )
            upper = rating > threshold
        elif entry.get("emotion") is None:
            made[key] = dict(entry)
            continue
        else:
            upper = entry["emotion"] in words[1]
            if not upper and entry["emotion"] not in words[0]:
                raise InputError(
                    f"The {side}'s utterance {key} has the emotion "
                    f"{entry['emotion']!r}, which is in neither "
                    + " nor ".join(f"--{end}_{dimension}" for end in ends)
                    + ": add it to one of them, or leave it out of --emotions."
                )
        made[key] = entry | {"emotion": classes[upper]}
    return Read(made, odd_rows(annotation))


def _refuse_same(corpora):
    """Refuses speech that both have."""
    seen = {
        (entry["wav"], entry.get("start", 0)): key
        for key, entry in corpora["source"].items()
    }
    for key, entry in corpora["target"].items():
        same = seen.get((entry["wav"], entry.get("start", 0)))
        if same is not None:
            raise InputError(
                f"The target's utterance {key} is the source's {same} "
                f"('{entry['wav']}'): give two corpora, the second one by "
                "--target_corpus with --target_folder, or by --target_manifest."
            )


def _apart(read):
    """Gives ids, and speakers, that both have names of their own."""

    def shared(names):
        """Whether both sides have one of some names."""
        source, target = map(set, names.values())
        return bool((source & target) - {None})

    speakers = shared(
        {s: [e.get("speaker") for e in a.values()] for s, a in read.items()}
    )
    ids = shared(read)
    made = {}
    for side, annotation in read.items():
        entries = {}
        for key, entry in annotation.items():
            if speakers and entry.get("speaker") is not None:
                entry = entry | {"speaker": f"{side}-{entry['speaker']}"}
            if ids and "utterance" in entry:
                entry = entry | {"utterance": f"{side}-{entry['utterance']}"}
            entries[f"{side}-{key}" if ids else key] = entry
        made[side] = Read(entries, annotation.odd)
    return made
