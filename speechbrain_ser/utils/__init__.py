"""Files, errors, audio files, processes."""
