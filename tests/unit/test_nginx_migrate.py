"""``pelton migrate nginx.conf``: a usual site in pelton's words."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from pelton.cli.main import main
from pelton.compat.gunicorn.migrate import migrate
from pelton.compat.nginx.parsing import parse
from pelton.config.settings import settings_from
from pelton.exceptions import ConfigError

_SITE = r"""
# a usual site
user www-data;
worker_processes auto;
http {
  include mime.types;
  gzip on; gzip_types text/css application/json image/bmp; gzip_min_length 512;
  client_max_body_size 20m; keepalive_timeout 65;
  limit_req_zone $binary_remote_addr zone=login:10m rate=5r/m;
  proxy_cache_path /var/cache/nginx keys_zone=c:10m max_size=256m;
  upstream app { server unix:/run/app.sock; }
  server { listen 80; server_name example.com; return 301 https://www.example.com$request_uri; }
  server {
    listen 443 ssl http2; server_name www.example.com;
    ssl_certificate /etc/ssl/a.pem; ssl_certificate_key /etc/ssl/a.key;
    add_header X-Frame-Options "DENY" always;
    add_header Strict-Transport-Security "max-age=31536000; includeSubDomains";
    root /srv/www;
    error_page 502 503 /50x.html;
    location /static/ { alias /srv/static/; expires 30d; }
    location /protected/ { internal; alias /srv/files/; }
    location /login { limit_req zone=login burst=9 nodelay; proxy_pass http://app; }
    location /admin { allow 10.0.0.0/8; deny all; proxy_pass http://app; }
    location ~ \.php$ { return 404; }
    location / { proxy_cache c; proxy_set_header Host "$host"; proxy_pass http://app; }
    ssi on;
  }
}
"""


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table_of(text: str) -> dict[str, object]:
    """The settings in what was printed."""
    return tomllib.loads(text.split("pelton.toml", 1)[1].split("\n", 1)[1])


def test_a_usual_site(folder: Path) -> None:
    (folder / "nginx.conf").write_text(_SITE)
    text = migrate("nginx.conf")
    table = table_of(text)
    assert table == {
        "user": "www-data",
        "compress": "gzip",
        "compress_type": ["image/bmp"],
        "compress_min_bytes": "512",
        "max_body_bytes": "20MiB",
        "keep_alive_seconds": "65s",
        "canonical_host": "www.example.com",
        "redirect_bind": [":80"],
        "bind": ["https://:443"],
        "certfile": ["/etc/ssl/a.pem"],
        "keyfile": ["/etc/ssl/a.key"],
        "response_header": ["X-Frame-Options: DENY"],
        "hsts_seconds": 31536000,
        "error_page": ["502=/srv/www/50x.html", "503=/srv/www/50x.html"],
        "static": ["/static=/srv/static"],
        "static_cache": ["*=30d"],
        "sendfile_root": ["/protected=/srv/files"],
        "rate_limit": ["/login=5/m,burst=10"],
        "allow": ["/admin=10.0.0.0/8"],
        "deny": ["/admin=all"],
        "cache_bytes": "256MiB",
    }
    del table["user"]
    settings_from(table)
    for line in ("ssi on: has no equal", "location ~ \\.php$", "worker_processes auto"):
        assert line in " ".join(text.split()), line
    assert "proxy_set_header" not in text


def test_includes_quotes_and_the_command(folder: Path) -> None:
    (folder / "sites-enabled").mkdir()
    (folder / "sites-enabled/shop").write_text('server { listen 8080; add_header X-A "a;b # c"; }')
    (folder / "nginx.conf").write_text("http { include sites-enabled/*; }")
    result = CliRunner().invoke(main, ["migrate", "nginx.conf"])
    assert (result.exit_code, table_of(result.output)) == (
        0,
        {"bind": [":8080"], "response_header": ["X-A: a;b # c"]},
    )
    assert table_of(migrate("sites-enabled/shop")) == table_of(result.output)


@pytest.mark.parametrize("text", ["server {", "}", "a", "a { } }", '"', "{ }", ";", "a 'b", "a \\"])
def test_what_is_no_configuration_is_told_with_its_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"nginx\.conf"):
        parse(text)


def test_files_that_include_each_other(folder: Path) -> None:
    (folder / "a.conf").write_text("include a.conf;")
    with pytest.raises(ConfigError, match="without end"):
        migrate("a.conf")
