"""Audiences: who is in which segment, stored in Redis, looked up by the batch, counted exactly."""
