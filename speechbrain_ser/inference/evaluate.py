"""``ser-evaluate``: what a trained model is worth on other labelled speech."""

import argparse
import sys

from speechbrain_ser.inference.other_corpus import CORPORA, read_corpus
from speechbrain_ser.utils.errors import InputError

SPEAKERS = ("no", "column", "all")


def arguments(words):
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="ser-evaluate",
        description="Says what a trained model is worth on other labelled "
        "speech: scores with intervals over speakers, by gender and speaker, "
        "calibration, and pictures. Nothing is trained or chosen.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="the folder that ser-export wrote")
    add("--manifest", metavar="FILE", help="a CSV of file,emotion,speaker")
    add("--data_root", metavar="DIR", help="where its relative paths start")
    add("--corpus", metavar="NAME", help=f"instead: {', '.join(CORPORA)}")
    add("--data_folder", metavar="DIR", help="where that corpus lies")
    add(
        "--map",
        metavar="A=B,C=D",
        help="words of the corpus, and the model's classes that they become",
    )
    add(
        "--labels",
        type=words_of,
        metavar="A,B",
        help="the classes that are looked at (default: all of the model's)",
    )
    add(
        "--encoder_folder", metavar="DIR", help="where the model's encoder lies"
    )
    add(
        "--output_folder",
        metavar="DIR",
        help="of the report (default: results/evaluated/MODEL/CORPUS)",
    )
    add(
        "--speakers",
        choices=SPEAKERS,
        help="by whom features are standardised: no, by what trained; column, "
        "each speaker by all that he says here; all, as if one spoke (default: "
        "as the model was made)",
    )
    add(
        "--min_confidence",
        type=share,
        metavar="P",
        help="also the scores of what the model is so sure of, 0 to 1",
    )
    add("--device", help="such as cpu or cuda:0 (default: the best guess)")
    return parser.parse_args(words)


def words_of(text):
    """Reads words between commas, in brackets or not.

    Example
    -------
    >>> words_of("[anger, sadness]")
    ['anger', 'sadness']
    """
    words = [word.strip() for word in text.strip("[] ").split(",")]
    if not all(words):
        raise argparse.ArgumentTypeError("give words, such as anger,sadness")
    return words


def share(text):
    """Reads a number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("give a number from 0 to 1")
    return value


def main(words=None):
    """Evaluates as the command line says; errors in one sentence."""
    given = arguments(words)
    try:
        corpus = read_corpus(
            given.corpus,
            given.data_folder,
            given.manifest,
            given.map,
            given.data_root,
        )
        from speechbrain_ser.inference.evaluation import evaluate
        from speechbrain_ser.inference.recognizer import EmotionRecognizer
        from speechbrain_ser.utils.waiting import choose_attention

        choose_attention()
        recognizer = EmotionRecognizer.from_folder(
            given.model, given.encoder_folder, given.device
        )
        evaluate(recognizer, corpus, given)
    except InputError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {error.filename}: {error.strerror}")
    except KeyboardInterrupt:
        sys.exit("stopped; nothing was reported")


if __name__ == "__main__":
    main()
