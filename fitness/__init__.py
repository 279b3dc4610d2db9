"""What a member is worth: scorers, and the two pure functions by which members compete and attract."""
