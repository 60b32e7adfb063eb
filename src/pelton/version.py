"""The version as a text. Imports nothing, so every part of pelton can name it, and no start waits for it."""

from typing import Final

# That of Cargo.toml, which is the distribution's, too: a test compares them. Asking the installed
# distribution for it (`importlib.metadata`) would be a sixth of what a start imports.
VERSION: Final = "0.1.0"
