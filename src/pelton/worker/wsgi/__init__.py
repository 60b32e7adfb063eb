"""The Python side of WSGI: what applications see in ``environ``, and who is told of their faults."""
