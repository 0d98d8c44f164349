"""The one error that a user's input can cause."""


class InputError(ValueError):
    """Something that the user gave is missing, broken or contradictory.

    Its message is one sentence that names the file or setting and the mend.
    Recipes print it and exit with code 1; no traceback is shown.
    """
