"""Running turns: whether one may run, its run through a guest, what follows from its end."""
