"""Small corpora of synthetic voices, in the layout of the real ones."""
