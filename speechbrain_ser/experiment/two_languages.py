"""An experiment with two languages: what is read is a source and a target."""

from speechbrain.utils.distributed import if_main_process
from speechbrain_ser.corpora.annotations import class_table
from speechbrain_ser.corpora.protocols import checks
from speechbrain_ser.data.dataset import without_labels
from speechbrain_ser.data.domains import SOURCE, TARGET, marked
from speechbrain_ser.experiment.experiment import OWN, Experiment
from speechbrain_ser.utils.audio import place
from speechbrain_ser.utils.errors import InputError
from speechbrain_ser.utils.settings import check_values


class TwoLanguages(Experiment):
    """Splits a source and a target, which may be annotations of one's own.

    The parts are train, valid, test and, unless the target is alone, ``target``:
    its speech without labels, all of it unless the protocol says which. Their
    entries say their domain.

    Arguments
    ---------
    alone : tuple of str
        Systems that have the target language alone.
    **kwargs : dict
        Of `Experiment`; the annotations are ``source`` and ``target``, the
        protocol is a dict, system to `Protocol`. What `about` returns has
        ``system``, ``batch_norm`` and ``experiment``.
    """

    def __init__(self, *args, alone=(), **kwargs):
        super().__init__(*args, **kwargs)
        self.alone = alone

    def check_settings(self, settings):
        """Refuses settings of any of the protocols; see `Experiment`."""
        super().check_settings(settings)
        for protocol in self.protocol.values():
            check_values(protocol.declarations(), self.protocol_settings)

    def make_parts(self, settings):
        """Reads both languages and splits them; see `Experiment`."""
        languages = self.read()
        if self.skip_prep:
            self.check_apart(languages)
        for language, annotation in languages.items():
            path = self.annotations.get(language, language)
            checks.check_words(annotation, self.labels, path)
        protocol = self.protocol[settings["system"]]
        changes = {name: settings[name] for name in protocol.splitting}
        alone = settings["system"] in self.alone
        parts = split_languages(languages, protocol, changes, alone)
        if self.skip_prep:
            return parts, f"{protocol.name} on {OWN}"
        return parts, protocol.full_name(settings)

    def transductive(self, settings):
        """Whether that of the system's protocol is; see `Experiment`."""
        return self.protocol[settings["system"]].transductive

    def check_apart(self, languages):
        """Refuses speech that both languages have."""
        both = {place(entry) for entry in languages["source"].values()}
        for key, entry in languages["target"].items():
            if place(entry) in both:
                raise InputError(
                    f"the utterance {key} of {self.annotations['target']} is "
                    f"the same speech as one of {self.annotations['source']}: "
                    "give two languages"
                )

    def check(self, parts, accumulation=1):
        """Refuses parts that lack a class, the test part too."""
        super().check(parts, accumulation)
        if parts["test"]:
            checks.check_classes(parts["test"], self.labels, "test")

    def write_annotations(self, parts):
        """Writes both languages, unless they are one's own."""
        super().write_annotations(self.read())

    def print_split(self, planned):
        """Prints the protocol, the classes, and what is without labels."""
        if not if_main_process():
            return
        experiment = self.about(planned.settings)["experiment"]
        print(f"{self.corpus_name}, {experiment}, {planned.protocol}")
        shown = {k: p for k, p in planned.parts.items() if k != "target"}
        print(class_table(shown, self.labels), flush=True)
        if "target" in self.brain.func.needs(self.brain.keywords):
            print(
                f"besides, without labels: {len(planned.parts['target'])} "
                "utterances of the target",
                flush=True,
            )

    def title(self, settings):
        """Returns the title of figures and table."""
        about = self.about(settings)
        return (
            f"{about['system']} ({about['batch_norm']}), "
            f"{about['experiment']}, {self.corpus_name}, seed {self.seed}"
        )


def split_languages(languages, protocol, changes, alone=False):
    """Splits two languages, or the target alone.

    Arguments
    ---------
    languages : dict
        ``source`` and ``target`` to annotation.
    protocol : Protocol
    changes : dict
        Of its settings.
    alone : bool
        Whether the target stands alone: it is then the source of all that is
        learnt.

    Returns
    -------
    dict
        Part to annotation; ``target`` is without labels all of it, or what the
        protocol calls so.
    """
    if alone:
        target = marked(languages["target"], SOURCE)
        return protocol.split({"target": target}, **changes)
    given = {
        "source": marked(languages["source"], SOURCE),
        "target": marked(languages["target"], TARGET),
    }
    parts = {"target": given["target"]} | protocol.split(given, **changes)
    hidden = marked(without_labels(parts.pop("target")), TARGET)
    return parts | {"target": hidden}
