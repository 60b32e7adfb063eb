"""What stands before pelton where something has to: nginx, HAProxy, Apache.

The time-outs are chosen so that pelton answers first: its 504 says more than a proxy's.
"""

from __future__ import annotations

import math

from pelton.deploy.facts import Facts, File


def nginx(facts: Facts) -> list[File]:
    """A file for ``conf.d``; it has to be trusted by pelton: ``--trusted-proxies 127.0.0.1``."""
    body = facts.settings.max_body_bytes
    return [
        File(
            f"{facts.name}.conf",
            f"""\
# pelton has to trust this proxy: pelton … --trusted-proxies 127.0.0.1
upstream {facts.name} {{
    server {_server(facts)};
    # Idle connections to pelton; shorter than its --keep-alive, so that none is used while it closes.
    keepalive 64;
    keepalive_timeout {facts.keep_alive_seconds}s;
}}

map $http_upgrade $connection_of_{_variable(facts)} {{
    # Empty: keep the connection to pelton. A WebSocket needs "upgrade".
    default upgrade;
    ''      '';
}}

server {{
    listen 80;
    server_name _;
    # As pelton's --max-body, so that both say 413 for the same.
    client_max_body_size {body or 0};

    location / {{
        proxy_pass http://{facts.name};
        proxy_http_version 1.1;
        proxy_set_header Host $host;
        proxy_set_header Connection $connection_of_{_variable(facts)};
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $host;
        # pelton collects bodies and responses itself; twice would only cost time and disk.
        proxy_request_buffering off;
        proxy_buffering off;
        # Longer than pelton's --request-timeout: its 504 comes first, and says more.
        proxy_read_timeout {facts.response_seconds}s;
        # pelton has one backlog for all its workers; a second try would only run a request twice.
        proxy_next_upstream off;
    }}
}}
""",
        )
    ]


def haproxy(facts: Facts) -> list[File]:
    """A whole configuration; pelton learns the client by the PROXY protocol's second version or by fields."""
    return [
        File(
            "haproxy.cfg",
            f"""\
# pelton has to trust this proxy: pelton … --trusted-proxies 127.0.0.1
global
    # maxconn is left out: HAProxy takes what the limit of open files (ulimit -n) allows.

defaults
    mode http
    timeout connect 2s
    timeout client 60s
    # Longer than pelton's --request-timeout: its 504 comes first, and says more.
    timeout server {facts.response_seconds}s
    timeout http-request 10s
    # For WebSockets.
    timeout tunnel 1h
    option http-keep-alive
    # A server that has gone is known to have gone: the next try is at another one, at once.
    option redispatch 1
    retries 2
    retry-on conn-failure empty-response

frontend web
    bind :80
    option forwardfor
    http-request set-header X-Forwarded-Proto http unless {{ ssl_fc }}
    http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}
    # Where nothing came back the request may have run. Only what may be repeated is sent again.
    http-request disable-l7-retry unless {{ method GET HEAD OPTIONS }}
    default_backend {facts.name}

backend {facts.name}
    balance leastconn
    # The front answers these, also while every thread is busy.
    option httpchk
    http-check send meth GET uri {facts.health}/readyz ver HTTP/1.1 hdr Host {facts.name}
    http-check expect status 200
    default-server inter 2s fall 2 rise 1 slowstart 5s{_agent(facts)}
    server {facts.name}1 {_server(facts).replace("unix:", "unix@")} check
""",
        )
    ]


def apache(facts: Facts) -> list[File]:
    """A file for ``sites-available``; needs mod_proxy, mod_proxy_http and mod_headers."""
    keep = math.floor(facts.keep_alive_seconds)
    return [
        File(
            f"{facts.name}.conf",
            f"""\
# a2enmod proxy proxy_http proxy_wstunnel headers
# pelton has to trust this proxy: pelton … --trusted-proxies 127.0.0.1
<VirtualHost *:80>
    ServerName {facts.name}.example
    ProxyPreserveHost On
    ProxyRequests Off
    RequestHeader set X-Forwarded-Proto expr=%{{REQUEST_SCHEME}}
    # Longer than --request-timeout: its 504 comes first. Idle connections go before pelton closes them.
    ProxyPass / http://127.0.0.1:{facts.port}/ timeout={facts.response_seconds} ttl={keep} upgrade=websocket
    ProxyPassReverse / http://127.0.0.1:{facts.port}/
</VirtualHost>
""",
        )
    ]


def _agent(facts: Facts) -> str:
    """The server says how much it can take, and that it is about to end, where it has an agent's port."""
    return f" weight 100 agent-check agent-port {facts.agent_port} agent-inter 1s" if facts.agent_port else ""


def _server(facts: Facts) -> str:
    for bind in facts.settings.bind:
        if bind.startswith("unix:"):
            return bind
    return f"127.0.0.1:{facts.port}"


def _variable(facts: Facts) -> str:
    return facts.name.replace("-", "_")
