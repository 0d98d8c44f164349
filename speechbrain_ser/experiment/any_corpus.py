"""An experiment on the corpus that is asked for: an open one, or a manifest."""

import os

from speechbrain_ser.data.standardised_reader import WAYS
from speechbrain_ser.experiment.experiment import Experiment
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import NOTHING, OneOf, Word

CORPORA = {"emodb": "EMO-DB", "ravdess": "RAVDESS", "nemo": "nEMO"}
MANIFEST = "manifest"
GIVEN_SPLIT = "csv-split@1"  # of a manifest that has the column


class AnyCorpus(Experiment):
    """Chooses protocol, classes and name by the corpus that is asked for.

    Arguments
    ---------
    corpus_word : str or None
        Of `CORPORA`.
    manifest : str or None
        A table of one's own recordings instead.
    protocol_word : str or None
        A protocol's name; None: the first of the corpus, or a manifest's own
        split.
    corpus_name : str or None
        For the report; None: the corpus, or the manifest's file.
    standardise_by : str or None
        Of the frames: ``speaker`` is transductive, ``enrolment`` needs the
        protocol's setting of that name.
    protocols : dict
        Name of a corpus, or `MANIFEST`, to its protocols.
    about : callable or None
        See `Experiment`; None: `system_and_fold`.
    **kwargs : dict
        Of `Experiment`, but for `protocol`. Of `protocol_settings` those count
        that the protocol has.
    """

    def __init__(
        self,
        corpus_word: OneOf(None, *CORPORA),
        manifest: Word(optional=True, counts=NOTHING),
        protocol_word: Word(optional=True),
        corpus_name: Word(optional=True),
        standardise_by: OneOf(None, *WAYS) = None,
        protocols=None,
        mini=None,
        protocol_settings=None,
        about=None,
        **kwargs,
    ):
        self.corpus_word = corpus_word
        self.manifest = manifest
        self.standardise_by = standardise_by
        self.protocols = protocols or {}
        protocol = self.find_protocol(protocol_word)
        known = protocol.splitting if protocol else {}
        settings = protocol_settings or {}
        asked_for = corpus_word is not None or manifest is not None
        super().__init__(
            corpus_name=corpus_name or name_of(corpus_word, manifest),
            protocol=protocol,
            protocol_settings={k: v for k, v in settings.items() if k in known},
            mini={} if asked_for else mini,
            about=about or system_and_fold,
            **kwargs,
        )
        self.mini_settings = {"corpus": next(iter(CORPORA))}
        self.own_fill_in = self.fill_in
        self.fill_in = self.filled

    def find_protocol(self, word):
        """Returns the protocol; None as long as no corpus is asked for.

        Arguments
        ---------
        word : str or None

        Raises
        ------
        InputError
            With those that there are.
        """
        kind = MANIFEST if self.manifest is not None else self.corpus_word
        if kind is None:
            return None
        if kind not in self.protocols:
            raise InputError(
                f"--corpus is {kind!r}: give one of {', '.join(CORPORA)}, or "
                "--manifest"
            )
        known = {protocol.name: protocol for protocol in self.protocols[kind]}
        if word is None:
            return next(iter(known.values()))
        if word not in known:
            raise InputError(
                f"--protocol is {word}, which this recipe has not for "
                f"{CORPORA.get(kind, 'a manifest')}: give one of "
                f"{', '.join(known)}"
            )
        return known[word]

    def filled(self, settings, parts):
        """Adds the classes and the corpus's name to what the method adds."""
        more = {}
        if settings["corpus_name"] is None:
            more["corpus_name"] = self.corpus_name
        if settings["labels"] is None:
            more["labels"] = self.words()
        if settings["protocol"] is None and self.has_split():
            more["protocol"] = GIVEN_SPLIT
        return more | self.own_fill_in(settings | more, parts)

    def has_split(self):
        """Whether a manifest says who trains and tests, if that can count."""
        if self.manifest is None or GIVEN_SPLIT not in (
            protocol.name for protocol in self.protocols[MANIFEST]
        ):
            return False
        return any("split" in entry for entry in self.read().values())

    def words(self):
        """Returns the classes: the protocol's, or those of the manifest."""
        named = self.protocol.reading.get("labels") if self.protocol else None
        if named is not None:
            return named
        found = (entry.get("emotion") for entry in self.read().values())
        return sorted({word for word in found if word is not None})

    def check_settings(self, settings):
        """Refuses an enrolment that nobody gives; see `Experiment`."""
        super().check_settings(settings)
        enrolled = self.protocol_settings.get("enrolment")
        if self.standardise_by == "enrolment" and not enrolled:
            raise InputError(
                "--standardise_by enrolment needs speech of who is tested: give "
                "--enrolment 10, or --standardise_by train"
            )

    def transductive(self, settings):
        """Whether what is tested takes part in the training, or its scale."""
        by_speaker = self.standardise_by == "speaker"
        return by_speaker or super().transductive(settings)

    def facts(self, settings):
        """Adds how frames are standardised; see `Experiment`."""
        facts = super().facts(settings)
        if self.standardise_by is not None:
            facts["standardise_by"] = self.standardise_by
        return facts


def system_and_fold(settings):
    """Says which system it is, on which fold.

    Example
    -------
    >>> system_and_fold({"system": "ipr", "fold": 1, "seed": 2})
    {'system': 'ipr', 'fold': 1}
    """
    return {name: settings[name] for name in ("system", "fold")}


def name_of(word, manifest):
    """Returns what a corpus is called in the report.

    Example
    -------
    >>> name_of("emodb", None), name_of(None, "here/mine.csv")
    ('EMO-DB', 'mine')
    """
    if manifest is not None:
        return os.path.splitext(os.path.basename(manifest))[0]
    return CORPORA.get(word, "real speech")
