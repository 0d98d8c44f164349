"""The files of frames' pseudo-labels, and who reads them.

In a folder lie ``centres.safetensors`` (a tensor a scale), ``labels.npy``
(uint16 ``[frames, scales]``) and, written last, ``labels.json``.
"""

import json
import os

import numpy as np
import safetensors.numpy
import torch
from safetensors import SafetensorError

from speechbrain_ser.data.reading import file_digest
from speechbrain_ser.utils.errors import InputError

CENTRES, LABELS, ABOUT = "centres.safetensors", "labels.npy", "labels.json"
UNFINISHED = "unfinished"


class PseudoLabels:
    """Reads what :func:`pseudo_labelling.make_pseudo_labels` left in a folder.

    It can be sent to a loader's worker processes: labels are mapped, not held.

    Arguments
    ---------
    folder : str

    Attributes
    ----------
    folder : str
    path : str
        The JSON, which holds the SHA-256 of the other files.
    sizes : list of int
        The number of clusters of each scale.
    about : dict
        What the frames come from.
    frames_fitted : int
        The number of frames that the clusters were made of.
    ids : KeysView
        The utterances.

    Raises
    ------
    InputError
        If they are not there, not finished or damaged.

    Example
    -------
    >>> from speechbrain_ser.data.pseudo_labelling import make_pseudo_labels
    >>> class Cache:
    ...     def read(self, entry):
    ...         return torch.tensor([[0.0], [9.0], [0.0]])
    ...
    ...     def count(self, entry):
    ...         return 3
    >>> folder = getfixture("tmp_path") / "labels"
    >>> part = {"a": {}}
    >>> about = {"layer": -3}
    >>> make_pseudo_labels(
    ...     folder, Cache(), part, part, [2], about=about, show=False
    ... )
    >>> labels = PseudoLabels(folder)
    >>> labels.sizes, labels.count("a"), labels.about
    ([2], 3, {'layer': -3})
    >>> first, second, third = labels.read("a")[:, 0].tolist()
    >>> first == third != second
    True
    >>> labels.check(layer=-3)
    >>> labels.check(layer=-5)
    Traceback (most recent call last):
    speechbrain_ser.utils.errors.InputError: ...
    """

    def __init__(self, folder):
        self.folder = str(folder)
        self.path = os.path.join(self.folder, ABOUT)
        self._labels = None
        self._look()
        try:
            with open(self.path, encoding="utf-8") as file:
                self.made = json.load(file)
            self.sizes = self.made["sizes"]
            self.about = self.made["about"]
            self.frames_fitted = self.made["frames_fitted"]
            self._utterances = self.made["utterances"]
            digests = self.made["sha256"].items()
        except (OSError, ValueError, LookupError, AttributeError) as failure:
            raise self._damaged(ABOUT) from failure
        for name, expected in digests:
            path = os.path.join(self.folder, name)
            if not os.path.exists(path) or file_digest(path) != expected:
                raise self._damaged(name)

    def __getstate__(self):
        """Leaves the map out: each process makes its own."""
        return dict(self.__dict__, _labels=None)

    @property
    def ids(self):
        """The utterances."""
        return self._utterances.keys()

    def read(self, key):
        """Reads the labels of an utterance.

        Arguments
        ---------
        key : str
            Its id.

        Returns
        -------
        torch.Tensor
            int64, ``[time, scales]``; the frames are those of the encoder.

        Raises
        ------
        InputError
            If there are none.
        """
        begin, count = self._rows(key)
        if self._labels is None:
            path = os.path.join(self.folder, LABELS)
            try:
                self._labels = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as failure:
                raise self._damaged(LABELS) from failure
        rows = self._labels[begin : begin + count]
        return torch.from_numpy(rows.astype(np.int64))

    def count(self, key):
        """Returns the number of frames of an utterance.

        Arguments
        ---------
        key : str
            Its id.

        Returns
        -------
        int

        Raises
        ------
        InputError
            If it has no labels.
        """
        return self._rows(key)[1]

    def centres(self):
        """Reads the centres.

        Returns
        -------
        dict
            Size to ``[size, channels]``, float32.

        Raises
        ------
        InputError
            If their file is damaged.
        """
        path = os.path.join(self.folder, CENTRES)
        try:
            held = safetensors.numpy.load_file(path)
            return {size: held[str(size)] for size in self.sizes}
        except (OSError, SafetensorError, KeyError) as failure:
            raise self._damaged(CENTRES) from failure

    def check(self, **expected):
        """Refuses labels whose frames come from something else.

        Arguments
        ---------
        **expected : dict
            Name to value, as in `about`.

        Raises
        ------
        InputError
            If one differs.
        """
        for name, value in json.loads(json.dumps(expected)).items():
            if name not in self.about:
                raise InputError(
                    f"the pseudo-labels in {self.folder} do not say of which "
                    f"{name} they are, this run has {name} {value}: make them "
                    "again in another folder"
                )
            if self.about[name] != value:
                raise InputError(
                    f"the pseudo-labels in {self.folder} were made from {name} "
                    f"{self.about[name]}, this run has {name} {value}: make "
                    "them again in another folder, or give this run "
                    f"{name} {self.about[name]}"
                )

    def _rows(self, key):
        """Returns an utterance's first row and number of rows."""
        if key not in self.ids:
            raise InputError(
                f"the pseudo-labels in {self.folder} have none of the "
                f"utterance {key}: give those that were made for this split, or "
                "make them again"
            )
        return self._utterances[key]

    def _look(self):
        """Refuses a folder that is not there, or not finished."""
        if not os.path.isdir(self.folder):
            raise InputError(
                f"the folder of pseudo-labels {self.folder} is missing: give "
                "one that make_pseudo_labels has written"
            )
        if os.path.exists(self.path):
            return
        if os.path.isdir(os.path.join(self.folder, UNFINISHED)):
            raise InputError(
                f"the pseudo-labels in {self.folder} are not finished: start "
                "again what makes them, it goes on"
            )
        raise InputError(
            f"there are no pseudo-labels in {self.folder}: give a folder that "
            "make_pseudo_labels has written"
        )

    def _damaged(self, name):
        """The error for a file that is not what was written."""
        return InputError(
            f"the pseudo-labels' file {os.path.join(self.folder, name)} is "
            f"damaged or missing: delete {self.path}, and make them again"
        )
