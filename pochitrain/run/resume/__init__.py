"""`resume=RUN` and `resume=auto`: find the run, check the config, restore the state."""
