"""What servers do with requests that are odd, wrong or hostile."""
