"""What a member is worth: scorers, and the functions by which members compete and attract."""
