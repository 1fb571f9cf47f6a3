"""Pipelines from a PIL picture to the tensor that the model sees."""
