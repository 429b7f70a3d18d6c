"""Situations that users have met: each file covers one kind of them and its correct outcome."""
