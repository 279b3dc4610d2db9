"""The species that can be bred: their seeds, how a genome is expressed, how a member is saved."""
