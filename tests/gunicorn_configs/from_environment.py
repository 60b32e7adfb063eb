"""As container images have it: everything can be set from outside, and what came of it is printed."""

import json
import multiprocessing
import os

workers_per_core = float(os.getenv("WORKERS_PER_CORE", "1"))
host = os.getenv("HOST", "127.0.0.1")
port = os.getenv("SHOP_PORT", "0")
use_bind = os.getenv("BIND") or f"{host}:{port}"
web_concurrency = max(int(workers_per_core * multiprocessing.cpu_count()), 2)

loglevel = os.getenv("LOG_LEVEL", "info")
workers = web_concurrency
bind = use_bind
errorlog = os.getenv("ERROR_LOG", "-") or None
accesslog = os.getenv("ACCESS_LOG", "-") or None
worker_tmp_dir = "/dev/shm"
graceful_timeout = int(os.getenv("GRACEFUL_TIMEOUT", "120"))
timeout = int(os.getenv("TIMEOUT", "120"))
keepalive = int(os.getenv("KEEP_ALIVE", "5"))

print(json.dumps({"workers": workers, "bind": bind, "loglevel": loglevel}))
