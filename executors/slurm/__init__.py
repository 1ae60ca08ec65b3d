"""The Slurm executor: job arrays, requeueing, states of jobs."""
