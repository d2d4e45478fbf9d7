"""The composer: attributes to scores, and captions that say what is in them."""
