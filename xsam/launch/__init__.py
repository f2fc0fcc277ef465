"""Who starts the workers of a launch: this machine, or SLURM."""
