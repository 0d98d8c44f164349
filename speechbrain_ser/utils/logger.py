"""SpeechBrain's logger for modules that load without it."""


class LateLogger:
    """SpeechBrain's logger of a name, loaded at the first message.

    Readers, protocols and commands need torch for nothing else.

    Arguments
    ---------
    name : str
        The module's.

    Example
    -------
    >>> LateLogger("a.module").info("said by the main process alone")
    """

    def __init__(self, name):
        self.name = name

    def __getattr__(self, method):
        """Gives a method of SpeechBrain's logger."""
        from speechbrain.utils.logger import get_logger

        return getattr(get_logger(self.name), method)
