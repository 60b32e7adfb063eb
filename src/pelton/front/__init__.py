"""Python's side of the front: a front in this process, and the life of a front process."""
