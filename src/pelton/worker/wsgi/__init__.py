"""The Python side of WSGI: what applications see in ``environ``, and where their faults are reported."""
