"""What is said after labelling, and what is said once of the speech."""

import collections

from speechbrain_ser.inference.rows import UNSURE
from speechbrain_ser.inference.speech import Sound, printable

FAILED = 5  # of them are named
NAMED = 3  # rates, languages


def remarks(sounds, card, rate):
    """What of the speech the model does not know, each in one sentence.

    Arguments
    ---------
    sounds : list
        Of `speech.open_all`.
    card : dict
        The model's: perhaps `languages`, `sample_rates`.
    rate : int
        The model's own (Hz).

    Returns
    -------
    list of str

    Example
    -------
    >>> from speechbrain_ser.inference.speech import AudioInfo, Speech
    >>> speech = Speech("/a.wav", "a.wav", language="pl")
    >>> sound = Sound(speech, AudioInfo(32000, 16000, 2))
    >>> for sentence in remarks([sound], {"languages": ["de"]}, 16000):
    ...     print(sentence)
    1 of 1 has several channels, which are mixed (--channel 1 takes one), ...
    1 of 1 is said to be pl, and the model was trained on de alone: ...
    """
    there = [sound for sound in sounds if isinstance(sound, Sound)]
    rates = card.get("sample_rates") or [rate]
    said = [
        of_channels(there),
        of_rates(there, rates),
        of_languages(there, card.get("languages") or []),
    ]
    return [sentence for sentence in said if sentence is not None]


def of_channels(there):
    """Which are mixed."""
    mixed = [
        s for s in there if s.info.channels > 1 and s.speech.channel is None
    ]
    if not mixed:
        return None
    return (
        f"{of(mixed, there, 'has', 'have')} several channels, which are mixed "
        f"(--channel 1 takes one), such as '{printable(mixed[0].speech.name)}'"
    )


def of_rates(there, rates):
    """Which have other rates than what trained."""
    others = [s for s in there if s.info.sample_rate not in rates]
    if not others:
        return None
    rest = collections.Counter(s.info.sample_rate for s in others)
    named = ", ".join(f"{n} Hz" for n, _ in rest.most_common(NAMED))
    known = ", ".join(f"{n} Hz" for n in rates)
    return (
        f"{of(others, there, 'has', 'have')} {named}, and the model was "
        f"trained on {known}: resampled, such as "
        f"'{printable(others[0].speech.name)}'"
    )


def of_languages(there, languages):
    """Which are in other languages than what trained."""
    known = {main_language(word) for word in languages}
    strange = [
        s
        for s in there
        if s.speech.language is not None
        and main_language(s.speech.language) not in known
    ]
    if not strange or not known:
        return None
    rest = collections.Counter(s.speech.language for s in strange)
    named = ", ".join(word for word, _ in rest.most_common(NAMED))
    return (
        f"{of(strange, there, 'is', 'are')} said to be {named}, and the model "
        f"was trained on {', '.join(languages)} alone: labels may be worse "
        "than its card says"
    )


def of(some, all_of_them, one, several):
    """Counts some of all, with the verb."""
    verb = one if len(some) == 1 else several
    return f"{len(some)} of {len(all_of_them)} {verb}"


def main_language(code):
    """A language without its region.

    Example
    -------
    >>> main_language("de-AT"), main_language("DE")
    ('de', 'de')
    """
    return code.strip().lower().replace("_", "-").partition("-")[0]


def length(seconds):
    """A time in words.

    Example
    -------
    >>> length(5.25), length(90), length(7200)
    ('5.2 seconds', '1.5 minutes', '2.0 hours')
    """
    for unit, size in (("hours", 3600), ("minutes", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def summary(rows, computed, took, min_confidence=None):
    """Says what was done.

    Arguments
    ---------
    rows : list of dict
        Of `rows.Rows`.
    computed : float
        Seconds of speech that were labelled now, not before.
    took : float
        Seconds of the computer.
    min_confidence : float, optional

    Returns
    -------
    list of str
        Sentences.
    """
    failed = [row for row in rows if row["error"] is not None]
    good = [row for row in rows if row["error"] is None]
    speech = sum(row["seconds"] for row in good)
    noun = "recording" if len(rows) == 1 else "recordings"
    line = f"{len(good)} of {len(rows)} {noun} labelled, {length(speech)} of "
    line += "speech"
    if failed:
        line += f", {len(failed)} failed"
    if computed:
        line += (
            f"; {length(computed)} of it now, in {length(took)} (real-time "
            f"factor {took / computed:.2g})"
        )
    elif good:
        line += "; all of it before"
    said = [line]
    if min_confidence is not None and good:
        sure = [row for row in good if row["label"] != UNSURE]
        said.append(
            f"coverage {100 * len(sure) / len(good):.1f} %: {len(sure)} of "
            f"{len(good)} have a posterior of {min_confidence:g} or more, the "
            f"others are '{UNSURE}'"
        )
    said += [
        f"failed: {row['file']}: {row['error']}" for row in failed[:FAILED]
    ]
    if len(failed) > FAILED:
        said.append(f"and {len(failed) - FAILED} more, see the column error")
    return said
