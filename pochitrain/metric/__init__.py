"""The metrics: names, directions, units and formulas. Imports neither torch nor numpy."""
