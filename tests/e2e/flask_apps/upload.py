"""A shelf for files: several at a time go up by a form, each comes down again."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from flask import Flask, abort, render_template_string, request, send_file
from flask.typing import ResponseReturnValue
from werkzeug.utils import secure_filename

app = Flask(__name__)

SHELF = Path(os.environ.get("SHELF", Path(tempfile.gettempdir()) / "shelf"))

PAGE = """<!doctype html>
<title>Shelf</title>
<link rel="icon" href="data:,">
<form method="post" enctype="multipart/form-data">
  <input type="file" name="files" multiple aria-label="Files">
  <input name="remark" aria-label="Remark">
  <button>Upload</button>
</form>
{% if remark is not none %}<p id="remark">{{ remark }}</p>{% endif %}
<ul>
{% for file in files %}
  <li><a href="/files/{{ file.name }}">{{ file.name }}</a>: {{ file.size }} bytes, {{ file.digest }}</li>
{% endfor %}
</ul>
"""


@app.get("/")
def shelf() -> ResponseReturnValue:
    return _page(None)


@app.post("/")
def upload() -> ResponseReturnValue:
    SHELF.mkdir(parents=True, exist_ok=True)
    for file in request.files.getlist("files"):
        name = secure_filename(file.filename or "")
        if not name:
            abort(400, "A file needs a name.")
        file.save(SHELF / name)
    return _page(request.form.get("remark", ""))


@app.get("/files/<name>")
def download(name: str) -> ResponseReturnValue:
    path = SHELF / secure_filename(name)
    if not path.is_file():
        abort(404)
    return send_file(path.absolute(), as_attachment=True)


def _page(remark: str | None) -> str:
    paths = sorted(SHELF.iterdir()) if SHELF.is_dir() else []
    files = [
        {
            "name": path.name,
            "size": path.stat().st_size,
            "digest": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in paths
    ]
    return render_template_string(PAGE, files=files, remark=remark)


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
