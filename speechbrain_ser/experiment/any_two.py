"""An experiment with any two corpora, a source and a target."""

from speechbrain_ser.experiment.any_corpus import CORPORA, name_of
from speechbrain_ser.experiment.two_languages import TwoLanguages
from speechbrain_ser.utils.settings import NOTHING, OneOf, Word

WAYS = ("corpus", "speaker")
MINI = {"corpus": "emodb", "target_corpus": "ravdess"}


class AnyTwo(TwoLanguages):
    """Names the two by what is asked for.

    Arguments
    ---------
    corpus_word, target_word : str or None
        Of `CORPORA`.
    manifest, target_manifest : str or None
        Tables of one's own recordings instead.
    corpus_name : str or None
        For the report; None: ``<source> to <target>``.
    standardise_by : str
        Of the frames: ``corpus``, each of the two by itself, or ``speaker``.
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
