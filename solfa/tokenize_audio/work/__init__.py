"""The work of tokenizing a corpus: what there is to do, and one shard of it done by one process."""
