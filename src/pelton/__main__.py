"""``python -m pelton``: the same command as ``pelton``."""

from pelton.cli.main import main

if __name__ == "__main__":
    main(prog_name="pelton")
