"""The parts of the command ``pelton``: its options, where values are read, ``config`` and ``check``.

Owns what `pelton.cli.main` puts together. Must not load the native module. Main thread.
"""
