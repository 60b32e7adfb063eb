"""The applications that every server runs, one module each for bare WSGI and for Flask."""
