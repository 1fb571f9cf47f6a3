"""The shipped callbacks. Your own are named in YAML by `_target_` (docs/callback.md)."""
