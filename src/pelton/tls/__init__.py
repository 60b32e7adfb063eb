"""Certificates and keys: reading, watching and renewing them. What runs for each byte is the front's."""
