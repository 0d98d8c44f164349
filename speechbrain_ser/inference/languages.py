"""Which of a model's two languages speech is heard as (DANN)."""

from speechbrain_ser.data.domains import SOURCE, TARGET


def listen(recognizer, language):
    """Takes the statistics of a language, of a model that has two of them.

    Arguments
    ---------
    recognizer : EmotionRecognizer
        Changed here; of one language it stays as it is.
    language : str
        Such as ``de``. If it is not that of the source alone, speech is heard
        as the target's, the language that the model was adapted to.

    Example
    -------
    >>> from types import SimpleNamespace
    >>> card = {"languages_of": {"source": ["de"], "target": ["pl"]}}
    >>> model = SimpleNamespace(domain=TARGET)
    >>> recognizer = SimpleNamespace(model=model, card=card)
    >>> listen(recognizer, "de")
    >>> model.domain == SOURCE
    True
    """
    known = recognizer.card.get("languages_of")
    two = known if isinstance(known, dict) else {}
    source, target = two.get("source"), two.get("target")
    if not isinstance(source, list) or not isinstance(target, list):
        return
    of_source = language in source and language not in target
    recognizer.model.domain = SOURCE if of_source else TARGET
    vars(recognizer).pop("digest", None)  # it is of another model now
