"""pochitrain: train an image classifier from a folder of labelled pictures."""

__version__ = "1.2.0"
