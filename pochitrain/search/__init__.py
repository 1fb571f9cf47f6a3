"""The hyper-parameter search of `optuna=...`: what this trainer adds to the sweeper.

`application` implements the interface of the sweeper, `plan` reads the search space, `check`
refuses impossible ones, and `report` writes the results.
"""
