"""Many runs as one experiment: planned, run on Dask, kept on a scoreboard, tuned, uploaded."""
