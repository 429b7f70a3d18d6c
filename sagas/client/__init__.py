"""What application code and operators call: start sagas, look at them, act on them."""
