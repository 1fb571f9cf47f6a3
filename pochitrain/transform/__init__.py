"""Pipelines from a PIL image to the tensor that the model sees."""
