"""Files that the front sends without the application: what the settings about them mean, and Flask's folders."""
