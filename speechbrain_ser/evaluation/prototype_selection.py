"""LPMN's selection of prototypes, after training: section 3.3.

For each number K' a linear probe is fitted on the K' most important prototypes
(Eq. 4), the rest frozen, and evaluated as the part ``test_<K'>``; beside it, so
that the probe alone does not look like a gain, one on all prototypes
(``test_all``) and one on K' prototypes drawn at random (``test_random_<K'>``).

Reference: "An Effective Local Prototypical Mapping Network for Speech Emotion
Recognition", Xi et al. 2024.
"""

import numpy as np
import torch

from speechbrain_ser.evaluation.probing import probe, regression_probe
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import REPORT, Setting, words_of


class Sizes(Setting):
    """Numbers of prototypes: a list, ``512,60``, one number, or null for none.

    Example
    -------
    >>> Sizes().mend("512,60"), Sizes().mend([8.5])
    (None, 'give whole numbers from 1, such as 512,60, or null')
    """

    def __init__(self, counts=REPORT):
        super().__init__(counts)

    def mend(self, value):
        """Returns an example, if they are no such numbers."""
        for word in words_of(value):
            if not word.isdecimal() or int(word) < 1:
                return "give whole numbers from 1, such as 512,60, or null"
        return None


def sizes_of(n_selected, n_prototypes):
    """Reads the numbers of prototypes that are to be selected, K'.

    Arguments
    ---------
    n_selected : list of int, str, int or None
        See `Sizes`.
    n_prototypes : int
        K.

    Returns
    -------
    list of int
        Each once, the largest first.

    Raises
    ------
    InputError
        If one is above K.

    Example
    -------
    >>> sizes_of("60,512", 1024)
    [512, 60]
    """
    sizes = sorted({int(word) for word in words_of(n_selected)}, reverse=True)
    for size in sizes[:1]:
        if size > n_prototypes:
            raise InputError(
                f"--n_selected {size}: give whole numbers of prototypes, such "
                f"as 512,60, from 1 to {n_prototypes} (--n_prototypes)"
            )
    return sizes


def selected_parts(settings):
    """Names the parts that a report has besides, a recipe's ``more_parts``.

    Arguments
    ---------
    settings : dict
        Of a hparams file.

    Returns
    -------
    tuple of str
        None where there are no prototypes.

    Example
    -------
    >>> settings = {"pooling": "lpmn", "n_selected": 60, "n_prototypes": 128}
    >>> selected_parts(settings)
    ('test_all', 'test_60', 'test_random_60')
    """
    if settings["pooling"] != "lpmn":
        return ()
    sizes = sizes_of(settings["n_selected"], settings["n_prototypes"])
    return tuple(f"test_{name}" for name in names_of(sizes))


def names_of(sizes):
    """Names the sets of prototypes that are compared.

    Example
    -------
    >>> names_of([60, 30])
    ['all', '60', '30', 'random_60', 'random_30']
    """
    if not sizes:
        return []
    return ["all", *map(str, sizes), *(f"random_{size}" for size in sizes)]


def sets_of(ranking, sizes, seed):
    """Selects prototypes.

    Arguments
    ---------
    ranking : torch.Tensor
        The prototypes, the most important first, ``[K]``.
    sizes : list of int
        The numbers K'.
    seed : int
        Of what is drawn at random.

    Returns
    -------
    dict
        Name, as in `names_of`, to prototypes; None: all.

    Example
    -------
    >>> sets_of(torch.tensor([2, 0, 1]), [2], seed=0)["2"]
    tensor([2, 0])
    """
    draw = torch.Generator().manual_seed(seed)
    chosen = [ranking[:size] for size in sizes]
    drawn = [
        torch.randperm(len(ranking), generator=draw)[:size].to(ranking.device)
        for size in sizes
    ]
    every = [None] if sizes else []
    return dict(zip(names_of(sizes), [*every, *chosen, *drawn]))


def probed(name, predictions, labels, balanced=False, valence=False):
    """Classifies the test part by a probe on one set of prototypes.

    Arguments
    ---------
    name : str
        Of the set, whose mapping is ``pooled_<name>``.
    predictions : dict
        Part to what the Brain's ``predict`` returned; the probe is fitted on
        ``train``, its penalty is chosen by ``valid``.
    labels : list of str
    balanced : bool
        Whether all classes weigh the same.
    valence : bool
        Whether another probe predicts the valence.

    Returns
    -------
    model : sklearn.pipeline.Pipeline
        Of the emotions.
    result : dict
        Of ``test``: utterance to its outputs, with the probe's own.
    """

    def pooled(part, key):
        """Features and what they shall tell, of what has it."""
        held = [
            (p[f"pooled_{name}"], p["entry"][key])
            for p in predictions.get(part, {}).values()
            if p["entry"].get(key) is not None
        ]
        features = [feature.numpy() for feature, _ in held]
        return np.array(features), [value for _, value in held]

    model = probe(
        *pooled("train", "emotion"), *pooled("valid", "emotion"), balanced
    )
    tested = predictions["test"]
    features = [p[f"pooled_{name}"].numpy() for p in tested.values()]
    posteriors = model.predict_proba(features)
    places = [labels.index(word) for word in model.classes_]
    result = {}
    for (key, prediction), row in zip(tested.items(), posteriors):
        posterior = torch.zeros(len(labels))
        posterior[places] = torch.from_numpy(row).float()
        result[key] = prediction | {"posterior": posterior}
    if valence:
        values = regression_probe(
            *pooled("train", "valence"), *pooled("valid", "valence")
        ).predict(features)
        for prediction, value in zip(result.values(), values):
            prediction["valence"] = torch.tensor(value)
    return model, result


def loudest_classes(model):
    """Returns the class that each prototype of a probe speaks for most.

    Arguments
    ---------
    model : sklearn.pipeline.Pipeline
        Of `probed`.

    Returns
    -------
    list of str
        ``[K']``.
    """
    weight = model[-1].coef_ / model[0].scale_
    if len(weight) == 1:  # two classes
        weight = np.concatenate([-weight, weight])
    return [model.classes_[i] for i in weight.argmax(axis=0)]
