"""The process around the reconciliations: configuration, kopf handlers, scheduler, listener, probes and metrics."""
