"""A protocol: what a number was measured on.

A protocol never changes under its name: another split is another version.
"""

import dataclasses
from collections.abc import Callable

from speechbrain_ser.utils.settings import Whole, declared


@dataclasses.dataclass(frozen=True, eq=False)
class Protocol:
    """Which utterances take part, and who is trained and evaluated on which.

    Attributes
    ----------
    name : str
        With its version.
    text : str
        In words, those of the README's table.
    reading : dict
        The settings that choose utterances and labels.
    splitting : dict
        The settings of `function`.
    function : callable
        Annotation (or two, ``source`` and ``target``) and the settings, with
        ``fold`` where there are folds, to part -> annotation. The parts are
        ``train``, ``valid``, ``test`` and ``unlabelled``, or some of them.
    folds : int or None
        1 if there are none; None if it depends on the data, see `count`.
    transductive : bool
        Whether what is tested takes part in the training, without its label: in
        the parts ``unlabelled`` and ``target``. `text` says so too.
    count : callable or None
        Annotation to the number of folds, where `folds` is None.
    """

    name: str
    text: str
    reading: dict
    splitting: dict
    function: Callable
    folds: int | None = 1
    transductive: bool = False
    count: Callable | None = None

    def split(self, annotation, fold=None, **changes):
        """Splits an annotation.

        Arguments
        ---------
        annotation : dict
            Read with the settings of `reading`.
        fold : int, optional
            From 1, where there are folds.
        **changes : dict
            Settings that are not the protocol's; `full_name` says them.

        Returns
        -------
        dict
            Part -> annotation.

        Raises
        ------
        InputError
            If a setting is unfit or the corpus can't be split so.
        """
        settings = self.splitting | changes
        if self.folds != 1:
            settings["fold"] = fold
        return self.function(annotation, **settings)

    def n_folds(self, annotation):
        """Returns how many folds an annotation has.

        Example
        -------
        >>> Protocol("each@1", "", {}, {}, dict, None, count=len).n_folds("ab")
        2
        """
        return self.count(annotation) if self.folds is None else self.folds

    def full_name(self, settings):
        """Returns the name, and what the settings change of the protocol.

        Arguments
        ---------
        settings : dict
            Of a recipe; those that are no concern of the protocol are passed
            over.

        Example
        -------
        >>> protocol = Protocol("thirds@1", "", {}, {"share": 0.3}, dict)
        >>> protocol.full_name({"seed": 1, "share": 0.3})
        'thirds@1'
        >>> protocol.full_name({"share": 0.4})
        'thirds@1 with share 0.4'
        """
        changed = [
            f"{key} {settings[key]}"
            for key, value in (self.reading | self.splitting).items()
            if key in settings and settings[key] != value
        ]
        if not changed:
            return self.name
        return f"{self.name} with {', '.join(changed)}"

    def declarations(self):
        """Returns what each setting of the split may be: name -> `Setting`."""
        found = declared(self.function)
        found = {key: found[key] for key in self.splitting if key in found}
        if self.folds != 1:
            found["fold"] = Whole(1, self.folds)
        return found
