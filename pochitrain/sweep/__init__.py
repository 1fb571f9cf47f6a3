"""An Optuna sweeper for any Hydra application: it prunes, resumes, and never waits for a batch.

This package knows Hydra and Optuna, and nothing about training. `plugin` is what Hydra loads,
`driver` is the loop, and what an application wants to have its own way is an `application`.
"""

from pochitrain.sweep.trial_handle import TrialHandle, current_trial

__all__ = ["TrialHandle", "current_trial"]
