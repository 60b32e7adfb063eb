"""Django behind nginx, over a socket file."""

import multiprocessing

bind = "unix:shop.sock"
workers = multiprocessing.cpu_count() * 2 + 1
worker_class = "sync"
timeout = 60
graceful_timeout = 20
umask = 0o007
pidfile = "shop.pid"
accesslog = "access.log"
errorlog = "-"
loglevel = "warning"
proc_name = "shop"
raw_env = ["DJANGO_SETTINGS_MODULE=shop.settings"]
