"""Writing a network as an ONNX file, and comparing its output with the original."""
