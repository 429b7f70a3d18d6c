"""The outputs of the earlier steps, which most steps never ask for."""

from collections.abc import Callable, Iterator, Mapping

from sagas.record.payloads import Payloads

__all__ = ["Outputs"]


class Outputs(Mapping[str, str | None]):
    """The outputs by the step's name, as JSON; each is read when it is asked for."""

    def __init__(self, payloads: Payloads, read: Callable[[str], str]) -> None:
        self._payloads = payloads
        self._read = read

    def __getitem__(self, step: str) -> str | None:
        kept = self._payloads.outputs[step]
        return None if kept is None else self._read(kept)

    def __iter__(self) -> Iterator[str]:
        return iter(self._payloads.outputs)

    def __len__(self) -> int:
        return len(self._payloads.outputs)
