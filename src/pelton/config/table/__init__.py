"""The rows of the table of settings, a file for each topic; they meet in `pelton.config.settings`."""
