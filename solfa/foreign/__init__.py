"""What others have written, read without trust: repositories of the hub, files of tensors, configurations."""
