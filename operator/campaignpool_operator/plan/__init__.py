"""What to do next, purely: from what was observed to actions."""
