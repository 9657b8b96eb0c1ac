"""The base class of configuration: no unknown key, no change after reading."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of a recipe. An unknown key is an error; values cannot be changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
