"""Measurements of the engine next to what it replaces; each is one command."""
