"""The demo customer base: 500 wedding suppliers and what they do, from a seed, never from a real person."""

from loops.demo.loading import load_demo

__all__ = ["load_demo"]
