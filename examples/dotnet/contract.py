"""The contract in Python: what C# calls RemoteObjectDef, in the assembly ``shared``."""

import rpcx
from rpcx import dotnet


@dotnet.type("RemoteObjectDef", assembly="shared")
@rpcx.singleton("RemoteObjectURL")
class RemoteObject:
    """A value that is kept."""

    def __init__(self) -> None:
        self._value = "nothing yet"

    def set_value(self, value: str) -> None:
        """SetValue to C#."""
        self._value = value

    def get_value(self) -> str:
        """GetValue to C#."""
        return self._value
