"""Other servers' ways to be configured: gunicorn's and uWSGI's, translated into pelton's settings."""
