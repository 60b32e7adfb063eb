"""TLS without a proxy."""

bind = "127.0.0.1:0"
certfile = "server.crt"
keyfile = "server.key"
ssl_version = "TLS"
