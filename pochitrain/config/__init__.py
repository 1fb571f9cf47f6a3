"""Types, defaults and checks of the config tree. Nothing here imports torch."""
