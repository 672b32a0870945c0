"""Several hosts on one store: who is there, who serves, and who takes over."""
