"""``python -m blog``: what most Flask applications have at the end of their file."""

from __future__ import annotations

import os

from blog import create_app

if __name__ == "__main__":
    create_app().run(port=int(os.environ.get("PORT", "5000")))
