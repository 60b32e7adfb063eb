"""``import pelton.flask``: one line in a script, and its ``app.run()`` is served by pelton.

Owns nothing: importing it is `pelton.install`.
"""

from __future__ import annotations

from pelton.development.installation import install

install()
