"""Metrics: pure functions over arrays and notes."""
