"""Streams: what steps and callers write to a run's streams, and how it is read."""
