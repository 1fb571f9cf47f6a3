"""The training loop: it is handed finished objects, builds nothing and reads no config."""
