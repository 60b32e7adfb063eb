"""What a configuration of nginx is in pelton's words."""
