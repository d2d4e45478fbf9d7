"""Who calls `encode_shard`: processes of this machine, actors of a Ray cluster, ranks of a Slurm array or of torchrun."""
