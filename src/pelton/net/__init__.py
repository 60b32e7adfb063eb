"""What listens and what is opened before anything serves. Must not know HTTP."""
