"""The map of names: how an old commit's names are called in a new one."""

import copy
import os

import yaml

SECTIONS = (
    "parts",
    "settings",
    "metrics",
    "values",
    "tensors",
    "files",
    "scripts",
    "ignored",
)
# Keys of JSON files below which the keys are settings.
OF_SETTINGS = ("overrides", "files")


class Names:
    """Translates the names of one method from an old commit to a new one.

    Arguments
    ---------
    held : dict
        Section to old name to new name; a new name that is a dictionary holds
        the entries of the method that it is named by, before the others.
    method : str
    """

    def __init__(self, held, method):
        self.maps = {name: held.get(name) or {} for name in SECTIONS}
        for name in ("parts", "settings", "metrics", "tensors", "files"):
            every = self.maps[name]
            own = every.get(method) or {}
            shared = {k: v for k, v in every.items() if not isinstance(v, dict)}
            self.maps[name] = shared | own
        ignored = self.maps["ignored"]
        self.ignored_keys = set(ignored.get("keys") or ())
        self.ignored_files = list(ignored.get("files") or ())

    def of(self, section, name):
        """Returns what a name of a section is called in the new commit.

        An entry ``old_*: new_*`` is of all names that begin so.
        """
        held = self.maps[section]
        if name in held:
            return held[name]
        for old, new in held.items():
            if old.endswith("*") and name.startswith(old[:-1]):
                return new.rstrip("*") + name[len(old) - 1 :]
        return name

    def command(self, words):
        """Translates a command line: script, hparams file, settings, paths.

        Arguments
        ---------
        words : list of str

        Returns
        -------
        list of str
        """
        translated, setting = [], None
        for word in words:
            if word.startswith("--"):
                setting = word[2:]
                translated.append("--" + self.of("settings", setting))
                continue
            if word in self.maps["scripts"]:
                word = self.of("scripts", word)
            elif setting is not None:
                word = self.value(setting, word)
            if "/" in word:
                folder, name = os.path.split(word)
                word = os.path.join(folder, self.of("files", name))
            translated.append(word)
        return translated

    def value(self, key, value):
        """Translates a plain value of a setting, a key or a column."""
        if isinstance(value, str):
            if key == "part":
                return self.of("parts", value)
            own = self.maps["values"].get(key) or {}
            return own.get(value, value)
        return value

    def key(self, key, settings=False):
        """Translates a key of a JSON file or a column of a CSV file."""
        if settings:
            return self.of("settings", key)
        if key in self.maps["metrics"]:
            return self.of("metrics", key)
        return self.of("parts", key)

    def tensor(self, key):
        """Translates a tensor's name by the longest map of its beginning."""
        for old in sorted(self.maps["tensors"], key=len, reverse=True):
            if key == old or key.startswith(old + "."):
                return self.of("tensors", old) + key[len(old) :]
        return key

    def tree(self, value, settings=False, above=None):
        """Translates a value of a JSON file; leaves what is ignored out.

        Arguments
        ---------
        value : object
        settings : bool
            Whether its keys are settings.
        above : str or None
            The key that it stands under.

        Returns
        -------
        object
        """
        if isinstance(value, list):
            return [self.tree(item, settings, above) for item in value]
        if isinstance(value, dict):
            return {
                self.key(key, settings): self.tree(
                    item, settings or key in OF_SETTINGS, key
                )
                for key, item in value.items()
                if not self.ignored_keys & {key, f"{above}.{key}"}
            }
        return self.value(above, value)

    def path(self, path):
        """Translates the path of a file of a run, by its last name."""
        folder, name = os.path.split(path)
        return os.path.join(folder, self.of("files", name))


def read_names(path):
    """Reads a map of names.

    Arguments
    ---------
    path : str or None
        A YAML or JSON file; None: no name differs, nothing is ignored but what
        a clock or the code itself says.

    Returns
    -------
    dict
        See `Names`.

    Raises
    ------
    ValueError
        If a section is not known.
    """
    if path is None:
        held = {}
    else:
        with open(path, encoding="utf-8") as file:
            held = yaml.safe_load(file) or {}
    unknown = sorted(set(held) - set(SECTIONS))
    if unknown:
        raise ValueError(
            f"{path} has the unknown section {unknown[0]}: give one of "
            f"{', '.join(SECTIONS)}"
        )
    return held


def untranslated(held):
    """Returns the same map without a translation: what NEW ignores as well.

    Arguments
    ---------
    held : dict

    Returns
    -------
    dict
    """
    return {"ignored": copy.deepcopy(held.get("ignored") or {})}
