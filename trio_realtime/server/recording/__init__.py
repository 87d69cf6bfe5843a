"""Recordings of calls: two tracks on one clock, written in segments that survive a crash."""
