"""Pipelines from a PIL image to the input tensor of the model."""
