"""Pages that show and play what solfa does."""
