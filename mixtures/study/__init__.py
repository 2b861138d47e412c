"""Many replicates: design, seeds, runner, store and verdicts."""
