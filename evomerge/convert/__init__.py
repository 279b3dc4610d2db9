"""evomerge convert: configs of other tools as configs of ours."""
