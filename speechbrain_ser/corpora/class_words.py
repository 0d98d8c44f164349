"""The class words of a corpus of one's own: mapped, chosen, told apart."""

from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.logger import LateLogger
from speechbrain_ser.utils.settings import Setting

logger = LateLogger(__name__)

SIGN = "="


class ClassMap(Setting):
    """Words of a corpus and the classes that they become.

    ``happy=hap,angry=ang`` or a mapping; to nothing (``fear=``): left out.

    Example
    -------
    >>> ClassMap().mend("happy=hap,fear="), ClassMap().mend({"happy": "hap"})
    (None, None)
    >>> ClassMap().mend("happy")
    "give the corpus's words and their classes, such as 'happy=hap,angry=ang'"
    """

    def mend(self, value):
        """Returns an example, if it is no such map."""
        example = (
            "give the corpus's words and their classes, such as "
            "'happy=hap,angry=ang'"
        )
        if value is None:
            return None
        if isinstance(value, str):
            pairs = [pair.split(SIGN) for pair in value.split(",")]
            if any(len(pair) != 2 or not pair[0].strip() for pair in pairs):
                return example
            words = [pair[0].strip() for pair in pairs]
            twice = [word for word in words if words.count(word) > 1]
            return f"give {twice[0]} once" if twice else None
        if not isinstance(value, dict):
            return example
        for word in [*value, *value.values()]:
            if not isinstance(word, str) and word is not None:
                return f"{example} (write {word!r} in quotes, as a word)"
        return None


def as_mapping(value):
    """Returns a class map as word -> class; '' for what is left out.

    Example
    -------
    >>> as_mapping("happy=hap, fear="), as_mapping({"fear": None})
    ({'happy': 'hap', 'fear': ''}, {'fear': ''})
    """
    if isinstance(value, str):
        value = dict(pair.split(SIGN) for pair in value.split(","))
    return {k.strip(): (v or "").strip() for k, v in (value or {}).items()}


def map_words(entries, where, class_map, labels, said):
    """Maps the emotions of entries, and leaves out those mapped to nothing.

    Arguments
    ---------
    entries : dict
        Id -> entry, perhaps with `votes`; those without `emotion` stay.
    where : dict
        Id -> where it stands, such as "row 3".
    class_map : dict
        See `as_mapping`.
    labels : list of str or None
        The classes; None: all words that are left.
    said : str
        What the entries stand in, for the errors.

    Returns
    -------
    dict
        Id -> entry.

    Raises
    ------
    InputError
        If a word is no class, two differ in their case alone, or a class is
        nowhere.

    Example
    -------
    >>> entries = {"a": {"emotion": "happy"}}
    >>> map_words(entries, {"a": "row 2"}, {"happy": "hap"}, None, "a.csv")
    {'a': {'emotion': 'hap'}}
    """
    _check_map(class_map, _words(entries), said)
    kept, seen = {}, {}
    for key, entry in entries.items():
        entry = _with_votes(entry, class_map)
        word = entry.get("emotion")
        if word is None:
            kept[key] = entry
            continue
        mapped = class_map.get(word, word)
        if not mapped:
            continue
        here = f"{said}, {where[key]} has the emotion {mapped!r}"
        if labels is not None and mapped not in labels:
            raise InputError(
                f"{here}, which is not among the labels {', '.join(labels)}: "
                f"correct it, add it to --labels, or map it by --map "
                f"{word}=CLASS (or {word}= to leave it out)."
            )
        first = seen.setdefault(mapped.casefold(), (mapped, where[key]))
        if first[0] != mapped:
            raise InputError(
                f"{here} and {first[1]} {first[0]!r}: write one of them, or "
                f"give --map {mapped}={first[0]}"
            )
        kept[key] = entry | {"emotion": mapped}
    _check_found({word for word, _ in seen.values()}, labels, said)
    return kept


def _check_map(class_map, words, said):
    """Warns of words of the map that are nowhere: it may be of two corpora."""
    unused = [word for word in class_map if word not in words]
    if unused:
        logger.warning(
            "--map has %s, which no emotion of %s is (there are %s); its words "
            "stand on the left, the classes on the right",
            ", ".join(unused),
            said,
            ", ".join(sorted(words)),
        )


def _check_found(found, labels, said):
    """Refuses a class that nobody is of."""
    lacking = [word for word in labels or () if word not in found]
    if lacking or not found:
        there = f"there are {', '.join(sorted(found))}" if found else "none is"
        raise InputError(
            f"{said} has no utterance of {', '.join(lacking) or 'any class'} "
            f"({there}): correct --labels or --map."
        )


def _with_votes(entry, class_map):
    """An entry whose votes are mapped, if it has some."""
    if "votes" not in entry:
        return entry
    ballots = [[class_map.get(w, w) for w in b] for b in entry["votes"]]
    return entry | {"votes": [[w for w in b if w] for b in ballots]}


def _words(entries):
    """The words of emotions and votes."""
    votes = {
        word
        for entry in entries.values()
        for ballot in entry.get("votes", ())
        for word in ballot
    }
    return votes | {e["emotion"] for e in entries.values() if e.get("emotion")}
