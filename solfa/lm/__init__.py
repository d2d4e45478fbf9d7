"""Language models of codec tokens: patterns, conditioners, the model, sampling, released weights."""
