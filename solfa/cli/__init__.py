"""The shell: one file a command, each of which parses, calls and prints. Nothing here imports torch at its top."""
