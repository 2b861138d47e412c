"""Maximum likelihood by the EM algorithm, written by hand."""
