"""The carrying of runs: turns, heaps and what they write."""
