"""Long recordings, cut into windows that are labelled each for itself."""

import dataclasses

from speechbrain_ser.inference.speech import Sound, open_all

DIGITS = 3  # of a bound in seconds, within a recording
EXACT = 6  # of its end, which is that of a sample


def cut(speech, seconds):
    """Cuts recordings into windows of equal length.

    Of each recording they are as many as the nearest whole number of such
    lengths, and leave nothing out; one that is shorter than one and a half
    stays as it is.

    Arguments
    ---------
    speech : list of Speech
    seconds : float
        How long a window is to be.

    Returns
    -------
    list of Speech
        With a start and a stop each, in the order of time; what cannot be
        looked at stays as it is, too.

    Example
    -------
    >>> from speechbrain_ser.inference.speech import Speech
    >>> cut([Speech("gone.wav")], 8.0)[0].start is None
    True
    """
    found = []
    for each, sound in zip(speech, open_all(speech)):
        count = 1
        if isinstance(sound, Sound):
            count = max(1, round(sound.duration / seconds))
        if count == 1:
            found.append(each)
            continue
        begin = each.start or 0.0
        bounds = [
            round(begin + i * sound.duration / count, DIGITS)
            for i in range(count)
        ]
        last = begin + sound.duration if each.stop is None else each.stop
        bounds.append(round(last, EXACT))
        found += [
            dataclasses.replace(each, start=start, stop=stop)
            for start, stop in zip(bounds, bounds[1:])
        ]
    return found
