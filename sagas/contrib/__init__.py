"""Integrations with other frameworks. The core knows none of them; each is imported by name."""
