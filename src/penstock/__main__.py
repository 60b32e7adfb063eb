"""``python -m penstock``: the same command as ``penstock``."""

from penstock.cli import main

if __name__ == "__main__":
    main(prog_name="penstock")
