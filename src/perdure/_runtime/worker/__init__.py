"""The worker: claims, executions of steps, leases and the life around them."""
