"""Certificates and keys: files, watching them, renewing them. What runs for each byte is the native front's."""
