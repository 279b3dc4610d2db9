"""From a genome to the one resident model, in place."""
