"""What torch's learning-rate schedulers lack."""
