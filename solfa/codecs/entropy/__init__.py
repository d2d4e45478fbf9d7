"""Entropy coding of codes with integers only: what one machine writes, any other reads."""
