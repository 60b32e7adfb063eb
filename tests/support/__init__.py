"""What the suites over real sockets share: a client, applications, and ways to start pelton."""
