"""Settings, their units and addresses. Must not know the front, the worker or the command line."""
