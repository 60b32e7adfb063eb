"""Where messages and access records go."""
