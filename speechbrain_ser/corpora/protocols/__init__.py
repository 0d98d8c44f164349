"""Who is trained and evaluated on what."""
