"""An Optuna sweeper for any Hydra application, with pruning, resume and asynchronous trials.

This package depends on Hydra and Optuna, not on training. `plugin` is loaded by Hydra, `driver` is
the loop, and `application` is the interface through which an application customises it.
"""

from pochitrain.sweep.trial_handle import TrialHandle, current_trial

__all__ = ["TrialHandle", "current_trial"]
