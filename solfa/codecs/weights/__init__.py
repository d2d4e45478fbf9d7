"""Released weights: what their tensors are called elsewhere, where they are found, and how they are read."""
