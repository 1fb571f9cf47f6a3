"""The work of each command: build objects from the config, connect them and run."""
