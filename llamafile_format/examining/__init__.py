"""What users look at: verify, inspect, diff, explain, extract."""
