"""Who is alive: members, how they compete for datapoints, and who leaves."""
