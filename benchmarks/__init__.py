"""Measurements of the engine beside what it replaces; each is one command."""
