"""Files that the front sends by itself: what the settings about them mean, and Flask's folders."""
