"""The training loop. It is given finished objects, builds nothing and reads no config."""
