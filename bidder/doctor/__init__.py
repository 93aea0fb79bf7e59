"""`hustings doctor`: what of a host, its Redis and its files will stand in the engine's way."""
