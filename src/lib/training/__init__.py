"""Seeds, averaged weights, schedules, checkpoints and progress; no trainer class."""
