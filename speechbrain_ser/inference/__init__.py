"""A trained model on any speech, and the folder that it travels in."""
