"""A trained classifier as a small web service."""
