"""The hyper-parameter search of `optuna=...`: what this trainer adds to the plain sweeper.

`application` answers what the sweeper asks; `plan` reads the search space, `check` refuses what
cannot work, and `report` writes the results.
"""
