"""What a worker's main process does for sagas besides running their steps."""
