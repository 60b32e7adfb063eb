"""Faults played against pelton and its peers: what a client sees, what the log says, what is lost."""
