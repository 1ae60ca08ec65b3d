"""The SLURM executor: job arrays, requeueing, and what the queue and the job files say."""
