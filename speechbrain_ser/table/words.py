"""Lists in words."""

NAMED = 5  # things that are named before it says how many more there are


def listed(names, separator=", "):
    """Joins different names, and counts them where there are many."""
    names = list(dict.fromkeys(names))
    more = len(names) - NAMED
    end = [f"{more} more"] if more > 0 else []
    return separator.join(names[:NAMED] + end)


def changes_text(overrides):
    """Lists settings and their values."""
    return ", ".join(f"{name} {value}" for name, value in overrides.items())
