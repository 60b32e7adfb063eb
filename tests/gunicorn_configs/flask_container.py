"""Flask in a container."""

import multiprocessing
import os

bind = f"127.0.0.1:{os.environ.get('SHOP_PORT', '0')}"
workers = int(os.environ.get("GUNICORN_WORKERS", multiprocessing.cpu_count() * 2 + 1))
threads = 4
worker_class = "gthread"
worker_tmp_dir = "/dev/shm"
keepalive = 5
accesslog = "-"
errorlog = "-"
capture_output = True
enable_stdio_inheritance = True
