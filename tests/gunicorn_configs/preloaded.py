"""Loaded once, and replaced now and then because something leaks."""

workers = 2
preload_app = True
max_requests = 1000
max_requests_jitter = 50
limit_request_line = 8190
limit_request_fields = 200
limit_request_field_size = 0
backlog = 4096
reload = False
sendfile = False
reuse_port = True
