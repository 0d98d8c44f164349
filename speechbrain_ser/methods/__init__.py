"""A Brain a method."""
