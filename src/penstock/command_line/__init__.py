"""The parts of the command ``penstock``: its options, where values are read, ``config`` and ``check``.

Owns what `penstock.cli` puts together. Must not load the native module. Main thread.
"""
