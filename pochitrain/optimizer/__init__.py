"""What torch's optimizers are given: groups of parameters, each with a learning rate."""
