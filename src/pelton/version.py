"""The version as a text. Imports nothing of pelton, so every part of it can name the version."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("pelton")
except PackageNotFoundError:
    # A source tree on the path without an installation: there is no version to know.
    VERSION = "0+unknown"
