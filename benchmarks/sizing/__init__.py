"""Concurrency that sizes itself, beside fixed numbers of threads and other servers: see README.md."""
