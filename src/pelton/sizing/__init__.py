"""How much at once: what the machine allows, and what is needed of it.

`limits` reads the machine, `policy` decides (a pure function, with its simulations in tests/unit), `keeper`
does what it says in a worker.
"""
