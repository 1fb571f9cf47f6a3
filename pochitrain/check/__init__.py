"""What is wrong with a set of images: found by looking at every one of them."""
