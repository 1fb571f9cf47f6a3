"""Networks: torchvision's classifiers with a head for our classes."""
