"""The mini corpus in IEMOCAP's layout whose emotion is in one stretch.

A method that keeps of an utterance the frames that tell the emotion has
something to find here, see `corpora.mini.stretch`.
"""

import functools

from speechbrain_ser.corpora.mini.iemocap import (
    Way,
    draw_ballots,
    draw_weights,
    make_release,
    mini_iemocap,
)
from speechbrain_ser.corpora.mini.stretch import say
from speechbrain_ser.corpora.mini.tree import another_version

VERSION = "2-local"  # A part of the tree's name: change it with any byte.

LOCAL_WAY = Way(draw_weights, draw_ballots, say)

mini_local_iemocap = another_version(
    mini_iemocap,
    functools.partial(make_release, VERSION, LOCAL_WAY),
    "mini_local_iemocap",
    __name__,
)
