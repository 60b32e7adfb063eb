"""Requests that an application is tried with: where `pelton audit` and `pelton tune` take them from.

`request` is one of them, `reading` knows the forms of files, `har`, `access_log` and `openapi` read one form
each. Must not know what is done with them. Pure but for reading files.
"""
