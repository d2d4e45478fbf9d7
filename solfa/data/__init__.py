"""Training data: manifests, composed scores, other sound, rendering, and the folders that hold them."""
