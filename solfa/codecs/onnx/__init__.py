"""A codec's networks as ONNX graphs. Only `codecs.export` imports what is here: it needs the extra `export`."""
