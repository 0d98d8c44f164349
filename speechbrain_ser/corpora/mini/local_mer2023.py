"""The mini corpus in MER2023's layout whose emotion is in one stretch.

A method that keeps of an utterance the frames that tell the emotion has
something to find here, see `corpora.mini.stretch`. Labels, valences and voices
are drawn as for the first version.
"""

import functools

from speechbrain_ser.corpora.mini.mer2023 import make_release, mini_mer2023
from speechbrain_ser.corpora.mini.stretch import say
from speechbrain_ser.corpora.mini.tree import another_version

VERSION = "2-local"  # A part of the tree's name: change it with any byte.

mini_local_mer2023 = another_version(
    mini_mer2023,
    functools.partial(make_release, VERSION, say),
    "mini_local_mer2023",
    __name__,
)
