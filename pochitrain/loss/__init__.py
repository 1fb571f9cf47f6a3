"""The loss, and the weight of each class in it."""
