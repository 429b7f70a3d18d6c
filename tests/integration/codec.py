"""An application with secrets for the integration tests: what its steps see and how they fail."""

from typing import Any

from cryptography.fernet import Fernet, MultiFernet
from pydantic import BaseModel, SecretBytes, SecretStr

from sagas import Context, Retry, Saga, StepFailed, step

__all__ = ["CANARY", "FernetCodec", "Login", "Session", "login_saga", "open_", "told", "use"]

#: The secrets. None of them may appear anywhere except in the record and in the steps.
CANARY = "canary-7f3e"

#: What the steps saw, in plain text.
told: dict[str, Any] = {}

RETRY = Retry(max_attempts=2, wait_initial=0)


class Login(BaseModel):
    """Secrets at several depths; *goes_wrong* says how the last step ends."""

    password: SecretStr = SecretStr(f"{CANARY}-password")
    keys: dict[str, SecretBytes | None] = {"a": SecretBytes(f"{CANARY}-key".encode()), "b": None}
    goes_wrong: str = ""
    big: int = 0


class Session(BaseModel):
    """A secret that is created along the way."""

    token: SecretStr
    by: str = "open"


@step(name="vault.open", retry=RETRY)
def open_(login: Login, ctx: Context) -> Session:
    """Create a token."""
    told["password"] = login.password.get_secret_value()
    told["key"] = login.keys["a"] and login.keys["a"].get_secret_value()
    return Session(token=SecretStr(f"{CANARY}-token-{ctx.attempt}"))


@open_.compensation(retry=RETRY)
def close(login: Login, ctx: Context) -> None:
    """Return the token."""
    told["closed"] = ctx.output and ctx.output.token.get_secret_value()
    if login.goes_wrong == "cannot be undone":
        raise StepFailed(f"who is {ctx.output.token.get_secret_value()}?", code="WHO")


@step(name="vault.use", retry=RETRY)
def use(login: Login, ctx: Context) -> list[SecretStr]:
    """Use it, or fail."""
    token = ctx.output_of(open_).token.get_secret_value()
    told["token"] = token
    match login.goes_wrong:
        case "":
            return [SecretStr(token), SecretStr("x" * login.big)]
        case "breaks":
            cause = ValueError(f"wrong: {login.password.get_secret_value()!r}")
            raise OSError(f"no route for {token}") from cause
        case "returns nonsense":
            nonsense: Any = [[token, login.password.get_secret_value()]]
            return list(nonsense)
        case "is large":
            return [SecretStr(token * 1_000)]
        case _:
            raise StepFailed(f"refused: {token}", code="REFUSED")


@use.compensation(retry=RETRY)
def unuse(login: Login, ctx: Context) -> None:
    """Undo the use."""
    del login
    told["unused"] = (ctx.outcome, ctx.output)


login_saga = Saga("vault.login", input=Login, steps=[open_, use])


class FernetCodec:
    """Encrypts with the first key and decrypts with any of them."""

    def __init__(self, *keys: bytes) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def encode(self, text: str, /) -> str:
        """Encrypt."""
        return self._fernet.encrypt(text.encode()).decode()

    def decode(self, text: str, /) -> str:
        """Decrypt."""
        return self._fernet.decrypt(text).decode()


#: What ``saga_codec = "tests.integration.codec:codec"`` refers to.
codec = FernetCodec(b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
