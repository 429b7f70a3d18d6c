"""What mypy does not accept and pyright does, which takes two types for their union."""

from sqlalchemy.orm import Session

from sagas import Context


def number() -> int:
    return 1


def an_effect_has_the_type_that_it_is_said_to_have(ctx: Context, session: Session) -> None:
    ctx.once(session, number, returns=str)  # type: ignore[arg-type]
