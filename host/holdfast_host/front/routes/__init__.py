"""What /v1, /metrics and /health serve, a module for each subject."""
