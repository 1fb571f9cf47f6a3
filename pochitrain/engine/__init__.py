"""The training loop. It works with objects that are already built, and reads no config."""
