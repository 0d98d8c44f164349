"""From the parts of a split to the datasets of a Brain."""

from speechbrain_ser.data.dataset import class_weights, make_dataset
from speechbrain_ser.data.standardised_reader import ENROLMENT


class Parts:
    """What a Brain does with the parts of a split; a part of `brain.SERBrain`.

    Attributes
    ----------
    datasets : dict
        Part to dataset, as it is evaluated.
    train_set : DynamicItemDataset
        What is trained on.
    """

    @classmethod
    def check_arguments(cls, settings):
        """Refuses arguments that don't fit each other; overridden by methods.

        Nothing is read or built yet.

        Arguments
        ---------
        settings : dict
            The plain arguments that the Brain is going to get.

        Raises
        ------
        InputError
        """

    @classmethod
    def needs(cls, settings):
        """Says which parts there must be, besides train and test.

        Arguments
        ---------
        settings : dict
            The plain arguments that the Brain is going to get.

        Returns
        -------
        dict
            Part to what it is needed for, and what to give instead of it.
        """
        if settings.get("model_selection", "best") == "last":
            return {}
        why = "--model_selection best chooses the epoch by the valid part"
        return {"valid": (why, "--model_selection last")}

    @classmethod
    def check_parts(cls, parts, settings):
        """Refuses parts that can't be trained on; overridden by methods.

        Arguments
        ---------
        parts : dict
            Part to annotation, as they are trained on: long utterances are cut
            or split.
        settings : dict
            The plain arguments that the Brain is going to get.

        Raises
        ------
        InputError
        """

    def set_parts(self, parts):
        """Makes the datasets; before anything is trained or evaluated.

        Arguments
        ---------
        parts : dict
            Part to annotation: train, valid, test and a method's own; those
            that are missing or empty have no dataset, nor has ``enrolment``.

        Raises
        ------
        InputError
            If an emotion is not among the labels.
        """
        self.datasets = {
            name: self.make_dataset(part)
            for name, part in parts.items()
            if part and name != ENROLMENT
        }
        if parts.get("train"):
            annotation = self.training_annotation(parts)
            self.train_set = self.make_dataset(annotation)
            self.set_class_weights(self.labelled_annotation(parts))

    def make_dataset(self, annotation):
        """Makes a dataset of an annotation; overridden by methods."""
        return make_dataset(annotation, self.labels, self.sample_rate)

    def training_annotation(self, parts):
        """Returns what is trained on; overridden by methods."""
        return parts["train"]

    def labelled_annotation(self, parts):
        """Returns what is trained on with labels; overridden by methods."""
        return parts["train"]

    def set_class_weights(self, annotation):
        """Sets the weights of the cross entropy, ``[classes]`` or None."""
        weights = class_weights(annotation, self.labels, self.weighting)
        if weights is not None:
            weights = weights.to(self.device)
        self.class_weights = weights


def trained_on(parts, valid_trains=True):
    """Returns what is trained on, the valid part too if wanted.

    Example
    -------
    >>> parts = {"train": {"a": {}}, "valid": {"b": {}}, "test": {"c": {}}}
    >>> list(trained_on(parts)), list(trained_on(parts, False))
    (['a', 'b'], ['a'])
    """
    return parts["train"] | ((parts.get("valid") or {}) if valid_trains else {})
