"""What the process is made of, whatever the loop does: configuration, scheduler, listener, probes, metrics."""
