"""An experiment with any two corpora, a source and a target."""

from speechbrain_ser.experiment.any_corpus import CORPORA, name_of
from speechbrain_ser.experiment.two_languages import TwoLanguages
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import NOTHING, OneOf, Word

WAYS = ("corpus", "speaker", "train")
MINI = {"corpus": "emodb", "target_corpus": "ravdess"}


class AnyTwo(TwoLanguages):
    """Names the two, and chooses the protocol, by what is asked for.

    Arguments
    ---------
    corpus_word, target_word : str or None
        Of `CORPORA`.
    manifest, target_manifest : str or None
        Tables of one's own recordings instead.
    corpus_name : str or None
        For the report; None: ``<source> to <target>``.
    standardise_by : str
        Of the frames: ``corpus``, each of the two by itself, ``speaker``, which is
        transductive, or ``train``, both by what trains of the source.
    protocol_word : str or None
        A protocol's name; None: the first one.
    protocols : tuple of dict
        System to protocol; of a system that stands alone all are the same.
    **kwargs : dict
        Of `TwoLanguages`.
    """

    def __init__(
        self,
        corpus_word: OneOf(None, *CORPORA),
        target_word: OneOf(None, *CORPORA),
        manifest: Word(optional=True, counts=NOTHING),
        target_manifest: Word(optional=True, counts=NOTHING),
        corpus_name: Word(optional=True),
        standardise_by: OneOf(*WAYS) = "corpus",
        protocol_word: Word(optional=True) = None,
        protocols=(),
        mini=None,
        **kwargs,
    ):
        asked_for = [corpus_word, target_word, manifest, target_manifest]
        named = (
            f"{name_of(corpus_word, manifest)} to "
            f"{name_of(target_word, target_manifest)}"
        )
        super().__init__(
            corpus_name=corpus_name or named,
            mini={} if any(asked_for) else mini,
            protocol=found_protocol(protocols, protocol_word),
            **kwargs,
        )
        self.standardise_by = standardise_by
        self.mini_settings = MINI
        self.own_fill_in = self.fill_in
        self.fill_in = self.filled

    def filled(self, settings, parts):
        """Adds the corpora's name to what the method adds."""
        more = {}
        if settings["corpus_name"] is None:
            more["corpus_name"] = self.corpus_name
        return more | self.own_fill_in(settings | more, parts)

    def facts(self, settings):
        """Adds how frames are standardised; see `Experiment`."""
        how = {"standardise_by": self.standardise_by}
        return super().facts(settings) | how

    def transductive(self, settings):
        """Whether who is tested is listened to; see `Experiment`."""
        return self.standardise_by == "speaker" or super().transductive(
            settings
        )


def found_protocol(protocols, word):
    """Returns the protocols of the systems.

    Arguments
    ---------
    protocols : tuple of dict
        System to `Protocol`.
    word : str or None
        The name of one of them; None: the first.

    Raises
    ------
    InputError
        With those that there are.
    """
    known = {next(iter(own.values())).name: own for own in protocols}
    if word is None:
        return next(iter(known.values()), None)
    if word not in known:
        raise InputError(
            f"--protocol is {word}, which this recipe has not: give one of "
            f"{', '.join(known)}"
        )
    return known[word]
