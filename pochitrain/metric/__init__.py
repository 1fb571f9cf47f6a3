"""The metrics: their names, directions and units, and how each is computed. Nothing heavy here."""
