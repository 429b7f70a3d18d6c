"""What client, worker and duties share: the binding to a Celery app, settings, messages."""
