"""``Saga``: a plan on one screen, and the methods that start it."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from celery import Celery
from pydantic import ValidationError

from sagas.client.handle import SagaHandle
from sagas.client.start import start_sagas
from sagas.definition import Step, StepDefinition, build_plan
from sagas.errors import DefinitionError, InvalidInput, InvalidKey, SagaNotFound
from sagas.hidden import Hidden, Sealed
from sagas.ids import uuid7
from sagas.payload import Payload, describe_error
from sagas.record import queries
from sagas.record.starts import NewSaga
from sagas.retry import YEAR_S, to_seconds
from sagas.runtime.app import Runtime, runtime_of
from sagas.states import Reuse

if TYPE_CHECKING:
    from sagas.sessions import AnySession

__all__ = ["Saga", "defined_sagas", "saga_named"]

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - the input

#: How long a business key may be, in characters.
KEY_LIMIT = 200

_defined: dict[str, "Saga[Any]"] = {}


def saga_named(name: str) -> "Saga[Any]":
    """Return the saga that this process defines with this name; raises SagaNotFound."""
    if name not in _defined:
        known = ", ".join(sorted(_defined)) or "none"
        raise SagaNotFound(f"This application defines no saga {name!r}. It defines: {known}.")
    return _defined[name]


def defined_sagas() -> list["Saga[Any]"]:
    """Return the sagas that this process defines, by name."""
    return [_defined[name] for name in sorted(_defined)]


class Saga(Generic[I]):
    """A named plan: ordered steps over one input.

    Args:
        name: the saga's name, unique in the application.
        input: the type of the input; usually a pydantic model.
        steps: functions declared with ``@step``, or ``Step(function, …)``.
        deadline: how long a saga may take from its start, in seconds or as a timedelta; after that
            it turns back, unless its pivot has begun.

    Raises:
        DefinitionError: the declaration cannot work; the message names the step and the remedy.
    """

    def __init__(
        self,
        name: str,
        *,
        input: type[I],
        steps: Sequence[StepDefinition[Any, Any] | Step],
        deadline: float | timedelta | None = None,
    ) -> None:
        self.name = name
        self.plan, self.steps = build_plan(name, input, tuple(steps), deadline)
        self._input = Payload(input)
        _define(self)

    def __repr__(self) -> str:
        return f"<Saga {self.name}: {', '.join(step.step_name for step in self.steps)}>"

    def start(
        self,
        input: I,
        *,
        key: str | None = None,
        session: "AnySession | None" = None,
        delay: float | timedelta | None = None,
        reuse: Reuse = Reuse.NEVER,
        app: Celery | None = None,
    ) -> SagaHandle:
        """Start a saga and return its handle.

        Without *session* the saga is committed here. With it, the saga is part of the caller's
        transaction: it commits or rolls back with it, and is published after the commit. Once
        committed, the saga runs to its end whatever happens to this process or the broker; a broker
        that is away raises nothing here.

        The same name, *key* and input again return the same saga, also if it has ended: then the
        handle's ``created`` is False. With ``reuse=Reuse.AFTER_COMPENSATED``, a new saga takes the
        key from one that has ended COMPENSATED, whatever its input was. Of several such starts at
        the same moment exactly one starts a saga.

        Args:
            input: the saga's input, validated here.
            key: the business key, 1 to 200 characters; by default the saga's id.
            session: a SQLAlchemy Session or Connection on the record's database.
            delay: how long the saga waits in the record before its first step, in seconds or as a
                timedelta, a year at most; its deadline counts from then on.
            reuse: whether a key may be used again after its saga was compensated; never by default.
            app: the Celery app, where several are set up and none is current.

        Raises:
            pydantic.ValidationError: the input is not valid; no row was written.
            InvalidInput: the input holds a value that JSON cannot carry, or that its type does not
                read back as it was; no row was written.
            InvalidKey: the key cannot be stored; no row was written.
            KeyConflict: the key is taken by a saga with another input; no row was written.
            PayloadTooLarge: the input is over ``saga_payload_limit_bytes``; no row was written.
            WrongApplication: the record belongs to another application; no row was written.
            WrongDatabase: the session is on another database; no row was written.
            ConfigurationError: the session is at isolation level AUTOCOMMIT; no row was written.
            sqlalchemy.exc.DBAPIError: the database ended the caller's transaction, by a deadlock
                for instance: roll it back and repeat all of it.
            RecordNotReady: the record's tables are missing.
            ValueError: the delay is too long; no row was written.
        """
        sealed = [(Sealed(input), key)]
        del input  # a frame shows its arguments too
        return self._start(sealed, session, delay, app, reuse)[0]

    def start_many(
        self,
        sagas: Iterable[tuple[I, str | None]],
        *,
        session: "AnySession | None" = None,
        delay: float | timedelta | None = None,
        reuse: Reuse = Reuse.NEVER,
        app: Celery | None = None,
    ) -> list[SagaHandle]:
        """Start several sagas, each an input and a key, in one transaction and with one publish.

        Either all are started or, if one raises, none. Otherwise as ``start``.
        """
        given = Sealed(sagas)
        del sagas  # a frame shows its arguments too
        return self._start([*map(_sealed, given.value)], session, delay, app, reuse)

    def start_json(
        self, text: str, *, key: str | None = None, session: "AnySession | None" = None
    ) -> SagaHandle:
        """Start a saga whose input is JSON; otherwise as ``start``."""
        text = Hidden(text)
        return self._start([(Sealed(self._input.load(text)), key)], session, None, None)[0]

    def start_many_json(self, sagas: Iterable[tuple[str, str | None]]) -> list[SagaHandle]:
        """Start sagas whose inputs are JSON; otherwise as ``start_many``."""
        given = Sealed(sagas)
        del sagas  # a frame shows its arguments too
        texts = [*map(_sealed, given.value)]
        loaded = [(Sealed(self._input.load(text.value)), key) for text, key in texts]
        return self._start(loaded, None, None, None)

    def _start(
        self,
        sagas: Sequence[tuple[Sealed[I], str | None]],
        session: "AnySession | None",
        delay: float | timedelta | None,
        app: Celery | None,
        reuse: Reuse = Reuse.NEVER,
    ) -> list[SagaHandle]:
        runtime = runtime_of(app)
        news = [self._new(runtime, sealed, key) for sealed, key in sagas]
        delay_s = 0.0 if delay is None else max(to_seconds(delay), 0.0)
        if delay_s > YEAR_S:
            raise ValueError(
                f"Saga {self.name!r} cannot be started with delay={delay!r}: give a year at most. "
                "Nothing was started."
            )
        reuse = Reuse(reuse)  # a plain string is as good
        if runtime.runs_eagerly:
            delay_s = 0.0  # as Celery leaves out countdowns
        ids = start_sagas(runtime, news, session, delay_s=delay_s, reuse=reuse) if news else []
        return [
            SagaHandle(runtime, saga_id, created=saga_id == new.id)
            for saga_id, new in zip(ids, news, strict=True)
        ]

    def _new(self, runtime: Runtime, sealed: Sealed[I], key: str | None) -> NewSaga:
        saga_id = uuid7()
        checked = _checked_key(self.name, str(saga_id) if key is None else key)
        text = self._written(sealed, checked)
        decode = runtime.payload_codec.decode
        what = f"The input of saga {self.name!r} {checked!r}"
        return NewSaga(
            id=saga_id,
            key=checked,
            plan=self.plan,
            input=runtime.payload_codec.encode(text, what),
            skipped=self._skipped(text),
            actor=runtime.actor("application"),
            same_input=lambda one, other: self._input.same(decode(one), decode(other)),
        )

    def _written(self, sealed: Sealed[I], key: str) -> str:
        try:
            return self._input.dump(sealed.value)
        except ValidationError:
            raise
        except ValueError as error:
            problem = describe_error(error)
        raise InvalidInput(
            f"The input of saga {self.name!r} {key!r} cannot be carried as JSON ({problem}). Use "
            "finite numbers, valid Unicode, no object that contains itself or is very deeply "
            "nested, and types that read back what they write. Nothing was started."
        )

    def _skipped(self, text: str) -> tuple[str, ...]:
        # Conditions see what the workers will see, which may differ from the object given.
        sealed = Sealed(self._input.load(text))
        given = ((step.step_name, step.when) for step in self.steps)
        return tuple(name for name, when in given if when and not when(sealed.value))

    def get(self, *, key: str, app: Celery | None = None) -> SagaHandle:
        """Return the saga of this name with that key, the newest one; raises SagaNotFound."""
        runtime = runtime_of(app)
        found = runtime.database.read(lambda c: queries.saga_by_key(c, self.name, key))
        if found is None:
            raise SagaNotFound(f"The record has no saga {self.name!r} with the key {key!r}.")
        return SagaHandle(runtime, found.id)


def _define(saga: Saga[Any]) -> None:
    first = _defined.setdefault(saga.name, saga)
    if first.plan != saga.plan:
        raise DefinitionError(
            f"Two sagas are named {saga.name!r}: {first!r} and {saga!r}. "
            "Their business keys would collide. Give one of them another name."
        )
    _defined[saga.name] = saga


def _sealed(pair: tuple[T, str | None]) -> tuple[Sealed[T], str | None]:
    """Return an input and its key such that no frame shows the input."""
    given = Sealed(pair)
    del pair
    return Sealed(given.value[0]), given.value[1]


def _checked_key(saga: str, key: str) -> str:
    if not isinstance(key, str) or not 1 <= len(key) <= KEY_LIMIT or not key.isprintable():
        raise InvalidKey(
            f"The key {_shortened(key)} of saga {saga!r} cannot be stored and searched. Give a "
            f"string of 1 to {KEY_LIMIT} printable characters. Nothing was started."
        )
    return key


def _shortened(key: object) -> str:
    text = repr(key)
    return text if len(text) <= KEY_LIMIT else f"{text[:KEY_LIMIT]}…"
