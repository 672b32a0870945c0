"""What runs while a component is built, or only because it was: the module's loading, warming, and what it carries."""
