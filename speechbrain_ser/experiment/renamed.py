"""What is called otherwise since version 0.2: for one sentence, no more.

A run, a YAML file or a command of before is refused with the new name.
"""

import os

# Settings of hparams files.
SETTINGS = {
    "base_folder": "compared_folder",
    "checkpoints": "runs_folder",
    "corpus": "corpus_name",
    "dev_share": "valid_share",
    "development": "valid_language",
    "drawn": "figure_utterances",
    "evaluation_size": "test_size",
    "label_folder": "pseudo_label_folder",
    "mono_dev_share": "mono_valid_share",
    "select": "n_selected",
    "source_dev_share": "source_valid_share",
    "taught": "pseudo_label_filter",
    "taught_view": "pseudo_label_view",
    "watched_epochs": "last_epochs",
}
# Parts of a split.
PARTS = {
    "precise": "train",
    "validation": "valid",
    "ambiguous": "unlabelled",
    "evaluation": "test",
}
# Modules of the package, as YAML files and imports name them.
MODULES = {
    "augmentation": "data.augmentation",
    "batching": "data.batching",
    "checkpoints": "utils.checkpoints",
    "cluster_information": "evaluation.cluster_information",
    "corpora.audio": "utils.audio",
    "corpora.cross_lingual": "corpora.protocols.cross_lingual",
    "corpora.mini_mer2023": "corpora.mini.mer2023",
    "corpora.mini_mosei": "corpora.mini.cmu_mosei",
    "corpora.mini_recola": "corpora.mini.recola",
    "corpora.named_protocols": "corpora.protocols.named",
    "corpora.voice": "corpora.mini.voice",
    "dann": "methods.dann",
    "dataio": "data.dataset",
    "distributed": "utils.distributed",
    "errors": "utils.errors",
    "files": "utils.files",
    "frame_cache": "data.frame_cache",
    "gmp_atl": "methods.gmp_atl",
    "language_plots": "figures.languages",
    "lobes.codebook.FisherImportance": "lobes.importance.FisherImportance",
    "lobes.codebook.LocalPrototypicalMapping": (
        "lobes.local_prototypes.LocalPrototypicalMapping"
    ),
    "lobes.ssl.frozen_blocks": "lobes.ssl_prefix.frozen_blocks",
    "lpmn": "methods.lpmn",
    "lpmn.make_pooling": "lobes.frame_pooling.make_pooling",
    "lpmn.pooled_size": "lobes.frame_pooling.pooled_size",
    "mapping_plots": "figures.mapping",
    "menan": "methods.menan",
    "metrics": "evaluation.metrics",
    "plan": "experiment.plan",
    "plots": "figures",
    "probing": "evaluation.probing",
    "pseudo_label_plots": "figures.pseudo_labels",
    "pseudo_labels": "data.pseudo_labels",
    "recipe": "experiment.hparams",
    "speaker_plots": "figures.speakers",
    "stages": "experiment.stages",
}


def new_table(path):
    """Returns where a paper's table lies now, None if it was none of ours.

    Arguments
    ---------
    path : str
        As it was, ``recipes/<CORPUS>/tables/<table>.yaml``.
    """
    root, name = os.path.split(os.path.abspath(path))
    root, tables = os.path.split(root)
    root, corpus = os.path.split(root)
    root, recipes = os.path.split(root)
    moved = os.path.join(root, "tables", corpus, name)
    if (recipes, tables) == ("recipes", "tables") and os.path.isfile(moved):
        return os.path.relpath(moved)
    return None


def new_name(kind, word):
    """Returns what a word is called now, None if it is no old one.

    Arguments
    ---------
    kind : dict
        `SETTINGS`, `PARTS` or `MODULES`; of a module the part behind
        ``speechbrain_ser.``, perhaps with a name in it.
    word : str

    Example
    -------
    >>> new_name(PARTS, "evaluation"), new_name(PARTS, "test")
    ('test', None)
    >>> new_name(MODULES, "lpmn.LPMNBrain")
    'methods.lpmn.LPMNBrain'
    >>> new_name(MODULES, "lpmn.make_pooling")
    'lobes.frame_pooling.make_pooling'
    """
    if word in kind:
        return kind[word]
    if kind is MODULES and "." in word:
        module, name = word.rsplit(".", 1)
        found = new_name(kind, module)
        return f"{found}.{name}" if found else None
    return None
