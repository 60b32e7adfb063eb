"""An access log of its own form."""

accesslog = "-"
access_log_format = '%(h)s %(l)s "%(r)s" %(s)s %(b)s %(D)s "%({user-agent}i)s"'
loglevel = "info"
disable_redirect_access_to_syslog = True
