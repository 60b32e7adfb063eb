"""``--static auto``: the folders of static files that a Flask application and its blueprints have.

Reads them from the application's own table of routes, so that whatever it has set (folder, path, prefix of a
blueprint) holds. Knows Flask by its attributes only and imports nothing of it. Runs where the application is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

_RULE_END = "/<path:filename>"


def static_folders(application: Any) -> list[tuple[str, str]]:
    """Paths of requests and folders; none for what is not Flask's, or has no such folder."""
    found: dict[str, str] = {}
    # Of several applications (`pelton.loader.mounts`) those under a host have none here: paths have no hosts.
    for place, mounted in getattr(application, "mounted", ()):
        if not place.host:
            found |= {place.path + path: folder for path, folder in static_folders(mounted)}
    for rule in _rules(application):
        owner = _owner(application, str(rule.endpoint))
        folder = getattr(owner, "static_folder", None)
        text = str(rule.rule)
        # A part that varies, a host or a subdomain makes it more than a folder: the application sends it.
        prefix = text.removesuffix(_RULE_END)
        varies = "<" in prefix or getattr(rule, "host", None) or getattr(rule, "subdomain", None)
        if folder and text.endswith(_RULE_END) and prefix and not varies and Path(folder).is_dir():
            found.setdefault(prefix, str(Path(folder).absolute()))
    return list(found.items())


def _rules(application: Any) -> list[Any]:
    url_map = getattr(application, "url_map", None)
    rules = getattr(url_map, "iter_rules", None)
    if rules is None or not hasattr(application, "static_folder"):
        return []
    return [rule for rule in rules() if str(rule.endpoint).rpartition(".")[2] == "static"]


def _owner(application: Any, endpoint: str) -> Any:
    """The application, or the blueprint before the last dot."""
    name = endpoint.rpartition(".")[0]
    blueprints: dict[str, Any] = getattr(application, "blueprints", {})
    return blueprints.get(name) if name else application
