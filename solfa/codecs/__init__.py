"""Codecs: audio to integer codes and back; quantizers, codec families, the token file."""
