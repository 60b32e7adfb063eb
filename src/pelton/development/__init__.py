"""Serving during development: what ``app.run()``, ``flask run`` and ``run_simple`` come to.

Owns everything that is Werkzeug's way of serving and not pelton's own: its arguments, its log lines, its
environment variables. Nothing of this is imported by the command that serves in production. Must not import
Flask; Werkzeug only where an argument asks for a part of it.
"""
