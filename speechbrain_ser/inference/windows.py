"""Long recordings, cut into windows that are labelled each for itself."""

import dataclasses

from speechbrain_ser.inference.speech import Sound, open_all

DIGITS = 3  # of a bound in seconds


def cut(speech, seconds):
    """Cuts recordings into windows of equal length.

    Of each recording the windows have the length that is nearest to what is
    asked for and leaves no rest; one that is shorter than one and a half stays
    whole.

    Arguments
    ---------
    speech : list of Speech
    seconds : float
        How long a window is to be.

    Returns
    -------
    list of Speech
        With a start and a stop each, in the order of time; what cannot be
        looked at stays as it is.

    Example
    -------
    >>> from speechbrain_ser.inference.speech import Speech
    >>> cut([Speech("gone.wav")], 8.0)[0].start is None
    True
    """
    found = []
    for each, sound in zip(speech, open_all(speech)):
        if not isinstance(sound, Sound):
            found.append(each)
            continue
        count = max(1, round(sound.duration / seconds))
        begin = each.start or 0.0
        bounds = [
            round(begin + i * sound.duration / count, DIGITS)
            for i in range(count)
        ]
        last = begin + sound.duration if each.stop is None else each.stop
        bounds.append(round(last, DIGITS))
        found += [
            dataclasses.replace(each, start=start, stop=stop)
            for start, stop in zip(bounds, bounds[1:])
        ]
    return found
