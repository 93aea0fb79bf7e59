"""The admin port: metrics, readiness, the dashboard; and the pacing controller's home."""
