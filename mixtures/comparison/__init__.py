"""Truth meets fit: alignment, distances, soft assignments, performance over replicates."""
