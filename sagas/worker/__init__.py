"""What happens when a message arrives: claim the step, run it, record the outcome, go on."""
