"""Slow, obvious NumPy twins of the core."""
