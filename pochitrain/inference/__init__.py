"""Predictions with a trained model, from a checkpoint or an ONNX file."""
