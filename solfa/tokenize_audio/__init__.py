"""From audio to codes: files, folders, corpora; and what is lost on the way."""
