"""What supervisor and children say to each other: messages, operations, the catalog, routing."""
