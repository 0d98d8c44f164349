"""An experiment in stages on the corpus that is asked for."""

from speechbrain_ser.experiment.any_corpus import AnyCorpus
from speechbrain_ser.experiment.staged import StagedExperiment


class AnyStaged(AnyCorpus, StagedExperiment):
    """`AnyCorpus` chooses, `StagedExperiment` makes; arguments of both."""
