"""The reference application: the rules of its services, its sample, and its proof."""
