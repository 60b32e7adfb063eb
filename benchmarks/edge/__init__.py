"""What pelton does in the place of nginx: files, compression, cache, a page in a browser, and its bounds."""
