"""Mixers grafted into networks that others wrote, and such networks as values."""
