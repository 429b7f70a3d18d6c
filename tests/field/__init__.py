"""Situations that users met: each file has one kind of them, with its right outcome."""
