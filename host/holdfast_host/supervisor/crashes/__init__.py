"""What follows from a worker's death: whose turns it ran, how often, and who may not run any more."""
