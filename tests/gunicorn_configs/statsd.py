"""Metrics by statsd."""

workers = 2
statsd_host = "localhost:8125"
statsd_prefix = "shop"
dogstatsd_tags = "env:production,service:shop"
