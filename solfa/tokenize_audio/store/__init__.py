"""The token store: a folder of codes with what is known of them, hashed, written by whole shards and read by memory map."""
