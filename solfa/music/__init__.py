"""Music from words: a language model and its codec together."""
