"""What the benchmarks and the training share."""
