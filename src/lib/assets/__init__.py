"""What a notebook reads at run time: a paper's `paper.yml`, measurements, weights."""
