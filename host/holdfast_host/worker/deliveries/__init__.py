"""Deliveries: what is due, an alarm or a job, becomes a turn, and what became of that is written down."""
