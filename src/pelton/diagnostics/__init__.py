"""Says where threads are and what they wait for. Must not run a line of the application's code for it."""
