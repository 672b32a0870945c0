"""The courier: the one process that speaks to the outside. It has no listener, no store and no sandbox."""
