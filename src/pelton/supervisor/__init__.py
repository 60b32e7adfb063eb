"""Starts and replaces processes: the front and the workers.

Must not import the application, a runner or Flask.
"""
