"""Model cards: where a member comes from, what it scored, whose licence it has."""
