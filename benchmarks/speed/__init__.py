"""The same saga of four steps by celery-sagas and by its peers, side by side in one run."""
