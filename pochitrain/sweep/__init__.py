"""The Optuna sweeper for Hydra: prunes, resumes, and never waits for the slowest trial."""
