"""A network as an ONNX file, and the proof that it answers alike."""
