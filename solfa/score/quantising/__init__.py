"""From seconds to a sheet: beats, metre, grid, key, voices and hands."""
