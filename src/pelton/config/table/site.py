"""Who may ask, pages for errors, fields that are added and taken out, the one right host.

Rows of the table of settings; see `pelton.config.setting` for what each part means.
"""

from __future__ import annotations

from dataclasses import dataclass

from pelton.config.setting import Group, Part, Unit, setting


@dataclass(frozen=True, kw_only=True)
class Site:
    allow: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.SITE, Part.FRONT, "--allow",
        help="A network that may ask for a path, and nobody else unless named, too: /admin=10.0.0.0/8. "
        "Without a path: for everything. May be repeated.",
        reason="Who belongs to a site only its owner knows.",
        more="An address, a network, unix (clients of a unix socket) or all. For one host: "
        "admin.example.com/=10.0.0.0/8. The longest path counts, there a named host, and there the narrowest "
        "network. Others get 403. Behind a trusted proxy it is the client that it names.",
        reloadable=True,
    )  # fmt: skip
    deny: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.SITE, Part.FRONT, "--deny",
        help="A network that may not: 192.0.2.0/24, or /admin=all. May be repeated.",
        reason="Nobody is unwelcome by default.",
        more="See --allow.",
        reloadable=True,
    )  # fmt: skip
    maintenance_allow: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.SITE, Part.FRONT, "--maintenance-allow",
        help="A network that is served as usual during maintenance. May be repeated.",
        reason="Whoever works on the site; everybody else gets 503 then.",
        more="Maintenance begins and ends with pelton maintenance on and off. Health checks go on.",
        reloadable=True,
    )  # fmt: skip
    error_page: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.SITE, Part.FRONT, "--error-page",
        help="A file for a status that the server itself responds with: 503=errors/503.html. May be repeated,"
        " also for one status: .html and .json, chosen by Accept.",
        reason="A line of text explains enough.",
        more="Such as 403, 404 (static files), 413, 429, 502, 503, 504. Responses of the application are its "
        "own, unless --error-page-for-application says otherwise. Read at the start and on HUP; a page has "
        "1 MiB at most.",
        reloadable=True,
    )  # fmt: skip
    error_page_for_application: bool = setting(
        False,
        Unit.FLAG, Group.SITE, Part.FRONT, "--error-page-for-application",
        help="Pages for 500 and above also take the place of what the application says with these statuses.",
        reason="What an application says of its failure may be meant for its clients.",
        more="The status stays, and all fields but those about the body.",
        reloadable=True,
    )  # fmt: skip
    security_headers: bool = setting(
        False,
        Unit.FLAG, Group.SITE, Part.FRONT, "--security-headers",
        help="Adds X-Content-Type-Options, X-Frame-Options, Referrer-Policy, Cross-Origin-Opener-Policy and "
        "Permissions-Policy where the application does not say them.",
        reason="They forbid things that a site may need: to be in a frame elsewhere, a camera.",
        more="Strict-Transport-Security is --hsts. A Content-Security-Policy depends on the site: say it with"
        " --response-header.",
        reloadable=True,
    )  # fmt: skip
    response_header: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.SITE, Part.FRONT, "--response-header",
        help="A field of all responses, in the place of what the application says: 'X-Site: shop'. May be "
        "repeated.",
        reason="A response says what the application says.",
        reloadable=True,
    )  # fmt: skip
    response_header_remove: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.SITE, Part.FRONT, "--response-header-remove",
        help="The name of a field that is taken out of all responses. May be repeated.",
        reason="As above.",
        reloadable=True,
    )  # fmt: skip
    request_header_remove: tuple[str, ...] = setting(
        (),
        Unit.TEXT, Group.SITE, Part.FRONT, "--request-header-remove",
        help="The name of a field that the application never sees. May be repeated.",
        reason="What clients say is the application's to judge.",
        reloadable=True,
    )  # fmt: skip
    canonical_host: str | None = setting(
        None,
        Unit.TEXT, Group.SITE, Part.FRONT, "--canonical-host",
        help="The host that requests for all others are sent on to (308): www.example.com, with its port if"
        " it has one.",
        reason="A server has no name of its own.",
        more="Health checks and ACME are answered under any host.",
        reloadable=True,
    )  # fmt: skip
