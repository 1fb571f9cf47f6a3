"""Composition roots: each builds objects from the config, wires them and starts the work."""
