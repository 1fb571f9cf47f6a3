"""What watches a run. A callback of your own is named in YAML by `_target_` (docs/callback.md)."""
