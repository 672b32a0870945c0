"""A project's dependencies: found, downloaded without running any of their code, and carried by the component."""
