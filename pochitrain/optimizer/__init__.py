"""Parameter groups for torch's optimizers, each with a learning rate."""
