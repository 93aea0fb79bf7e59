"""The trainer of predictions: event streams as examples, and the elected process that learns from them."""
