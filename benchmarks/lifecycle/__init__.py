"""What is lost while workers come and go, counted by clients that check every response."""
