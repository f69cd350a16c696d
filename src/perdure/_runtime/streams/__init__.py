"""Streams: the chunks that steps and callers write to a run, and how they are read."""
