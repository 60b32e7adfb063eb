"""The worker kinds: each a way to run the calls of the application."""
