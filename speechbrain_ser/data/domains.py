"""Two domains of speech, say languages: which one an utterance is of."""

SOURCE, TARGET = 0, 1
NAMES = ("source", "target")


def marked(annotation, domain):
    """Returns an annotation whose entries say their domain.

    Arguments
    ---------
    annotation : dict
        Id to entry; it is not changed.
    domain : int
        `SOURCE` or `TARGET`.

    Returns
    -------
    dict

    Example
    -------
    >>> marked({"a": {"wav": "a.wav"}}, TARGET)
    {'a': {'wav': 'a.wav', 'domain': 1}}
    """
    return {key: e | {"domain": domain} for key, e in annotation.items()}


def completed(annotation, domain):
    """Returns an annotation whose entries say their domain, or else this one.

    Example
    -------
    >>> completed({"a": {}, "b": {"domain": SOURCE}}, TARGET)
    {'a': {'domain': 1}, 'b': {'domain': 0}}
    """
    return {key: {"domain": domain} | e for key, e in annotation.items()}


def of_domain(annotation, domain):
    """Returns the entries of one domain.

    Example
    -------
    >>> both = {"a": {"domain": SOURCE}, "b": {"domain": TARGET}}
    >>> of_domain(both, TARGET)
    {'b': {'domain': 1}}
    """
    return {k: e for k, e in annotation.items() if e["domain"] == domain}


def count_sources(batch):
    """Returns how many of a batch are of the source.

    It is counted once, before the batch is moved: a device would be waited for.

    Arguments
    ---------
    batch : PaddedBatch
        With ``domain``; it keeps the number.

    Returns
    -------
    int
    """
    if not hasattr(batch, "n_sources"):
        batch.n_sources = int((batch.domain == SOURCE).sum())
    return batch.n_sources
