"""torchvision's classifiers with a head for the classes of the data."""
