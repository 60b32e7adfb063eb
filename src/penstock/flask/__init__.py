"""``import penstock.flask``: one line in a script, and its ``app.run()`` is served by penstock.

Owns nothing: importing it is `penstock.install`.
"""

from __future__ import annotations

from penstock.development.installation import install

install()
