"""Models from released weights, and back into their layouts."""
