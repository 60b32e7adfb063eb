"""The rows of the table of settings, a file for each topic; they meet in `penstock.config.settings`."""
