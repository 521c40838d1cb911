"""The contract's rules for values, as every evaluator applies them (the code is `schemas.signal_value`)."""

from schemas.signal_value import (
    LARGEST_NUMBER,
    SignalType,
    WrongType,
    instant_of,
    normalise,
    normalise_untyped,
)

__all__ = ["LARGEST_NUMBER", "SignalType", "WrongType", "instant_of", "normalise", "normalise_untyped"]
