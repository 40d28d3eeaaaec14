"""What Jobcast costs: every figure is a ratio against something measured in the same run."""
