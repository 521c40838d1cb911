"""The pydantic model that every typed definition here is made of."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable model that refuses keys it doesn't know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
