"""`resume=RUN` and `resume=auto`: which keys may change, finding the run, restoring it."""
