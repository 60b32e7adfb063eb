"""Spans of OpenTelemetry for each request (``--traces``, the extra ``otel``).

`required` says whether the packages are there, without importing them; `provider` makes what exports, once
in each process and after its fork; `attributes` is what the conventions for HTTP say of a request; `traced`
stands around the application. Nothing of it is imported where traces are off.
"""
