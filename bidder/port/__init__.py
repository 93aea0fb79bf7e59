"""The hot path: the bid port's protocol, its batches and its worker process."""
