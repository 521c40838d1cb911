"""Servers that stand in for providers: they count what they accept, and fail as they are told."""
