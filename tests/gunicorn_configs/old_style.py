"""Written for an old gunicorn, with strings for numbers and an application of its own."""

wsgi_app = "shop:app"
bind = ["127.0.0.1:0"]
workers = "1"
worker_class = "gunicorn.workers.sync.SyncWorker"
daemon = False
user = None
group = None
errorlog = "-"
logger_class = "gunicorn.glogging.Logger"
check_config = False
pythonpath = "."
def_worker_conections = 3
