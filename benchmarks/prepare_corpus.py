"""Time to read a corpus in IEMOCAP's layout: headers against decoding.

The peer is the way of SpeechBrain's IEMOCAP recipe: every file is decoded to
learn its duration. Both sides parse the labels with the same code.

> python benchmarks/prepare_corpus.py --data_folder IEMOCAP_full_release
"""

import argparse
import statistics
import time

from rows import add_rows_option, row, write_rows

from speechbrain.dataio.dataio import read_audio
from speechbrain_ser.corpora.iemocap import read_iemocap, read_labels
from speechbrain_ser.corpora.mini.iemocap import mini_iemocap

# Command lines of the tests, each a trial of a second.
SMOKE = ("--repeat 1 --data_folder {iemocap}",)


def read_by_decoding(data_folder):
    """Reads the labels and decodes each file for its duration."""
    annotation = read_labels(data_folder)
    for entry in annotation.values():
        entry["duration"] = read_audio(entry["wav"]).shape[0] / 16000
    return annotation


def seconds(function, *arguments):
    """Wall-clock time of one call."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def main(argv=None):
    """Prints one line with both medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_folder", help="default: the mini corpus")
    parser.add_argument("--repeat", type=int, default=3)
    add_rows_option(parser)
    arguments = parser.parse_args(argv)
    data_folder = arguments.data_folder or mini_iemocap()
    # The first pass fills the file cache and is not timed.
    ours = read_iemocap(data_folder)
    peers = read_by_decoding(data_folder)
    for key, entry in ours.items():
        assert entry["duration"] == peers[key]["duration"], key
    times = [
        (
            seconds(read_iemocap, data_folder),
            seconds(read_by_decoding, data_folder),
        )
        for _ in range(arguments.repeat)
    ]
    own, peer = (statistics.median(column) for column in zip(*times))
    print(
        f"prepare_corpus: {len(ours)} utterances, read_iemocap "
        f"{own * 1e3:.1f} ms, decoding every file {peer * 1e3:.1f} ms, "
        f"ratio {peer / own:.1f}"
    )
    told = (f"{x * 1e3:.1f} ms" for x in (own, peer))
    what = f"reading {len(ours)} utterances"
    found = row("prepare_corpus", what, *told, peer / own, "at least 4")
    write_rows(arguments.rows, [found])


if __name__ == "__main__":
    main()
