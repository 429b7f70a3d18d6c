"""Running sagas with Celery: starts, messages, attempts, turning back, the workers' duties."""
