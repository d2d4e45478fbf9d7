"""Training data: composed scores, captions and renderings."""
