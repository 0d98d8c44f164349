"""Every picture, one idea a file."""
