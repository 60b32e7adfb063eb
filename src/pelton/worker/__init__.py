"""The side that calls the application. Must not own a socket of a client, nor parse or time anything."""
