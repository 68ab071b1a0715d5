"""A host from a file: ``Host.from_config("app.toml")``, ``rpcx serve --config app.toml``.

The file says what is served, where, to whom and within which bounds. The modules it names are imported, and nothing
else in it is ever executed. An unknown key is an error, since a mistyped ``alow`` must not open a door. Nothing is
taken from the environment: what a host admits is to be read in one place.

All errors are ValueErrors that name the file, the key and what is wrong; `schema` has the whole form.
"""

import importlib
import os
import stat
import tomllib
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, create_model

from rpcx.channels.urls import parse
from rpcx.errors import AccessDenied
from rpcx.lifetime.holders import Quotas
from rpcx.lifetime.lease import Lease
from rpcx.plugins import authenticator as find_authenticator
from rpcx.protocol.handshake import Limits
from rpcx.remoting.contract import contract_of
from rpcx.remoting.rules import rule
from rpcx.security.guard import Admission, networks

LARGEST: Final = 1 << 20  # bytes of a file

T = TypeVar("T")


def _words(allow: list[str]) -> list[str]:
    rule(allow, "allow")
    return allow


def _url(url: str) -> str:
    parse(url)
    return url


def _networks(allow_from: list[str]) -> list[str]:
    networks(allow_from)
    return allow_from


Networks = Annotated[list[str], AfterValidator(_networks)]
Allow = Annotated[
    list[str],
    AfterValidator(_words),
    Field(description='Who may call besides the owner: roles, "principal:NAME", "user:NAME", "group:NAME", "*".'),
]


class Strict(BaseModel):
    """What all parts have in common."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _model(name: str, of: type, doc: str) -> type[Strict]:
    """The fields of one of our dataclasses, as a part of the file."""
    known: dict[str, Any] = {
        field.name: (field.type, field.default) for field in fields(of) if field.default is not MISSING
    }
    return create_model(name, __base__=Strict, __doc__=doc, **known)


LimitsPart = _model("Limits", Limits, "Bounds for what clients send; sizes in bytes, times in seconds.")
QuotasPart = _model("Quotas", Quotas, "How many objects may live.")
AdmissionPart = _model("Admission", Admission, "Bounds for who has not proved who it is.")
LeasePart = _model("Lease", Lease, "How long objects live, in seconds.")


class AuditPart(Strict):
    """The audit log."""

    file: str = Field(description="Its file; from where this file is, if it does not begin with /.")
    chain: bool = Field(default=False, description="Let each line have the hash of the one before.")
    sync: Literal["never", "each"] = Field(default="never", description="Whether each line waits for the disk.")


class ObjectPart(Strict):
    """A class to register."""

    class_: str = Field(alias="class", pattern=r"^[\w.]+:\w+$", description="module:Class")
    name: str | None = Field(default=None, min_length=1, description="Another uri than its decorator's.")
    found_as: str | None = Field(default=None, min_length=1, description="In the directory of names: name://…")
    tags: dict[str, str] = Field(default={}, description="There too.")
    allow: Allow | None = None
    methods: dict[str, Allow] = Field(default={}, description="The same for single methods.")
    lease: LeasePart | None = Field(default=None, description="Instead of its decorator's.")  # type: ignore[valid-type]  # made above


class AuthenticatorPart(BaseModel):
    """How clients prove who they are; further keys are what this one can be told."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    name: str = Field(min_length=1, description='An installed one, as "token".')


class ChannelPart(Strict):
    """Where to listen."""

    url: Annotated[str, AfterValidator(_url)] = Field(description="tcp://127.0.0.1:4000, pipe://name")
    insecure: bool = Field(default=False, description="Plain, on loopback: every user of this machine is the owner.")
    allow_uids: list[int | str] = Field(default=[], description="Users of this machine that a pipe lets in besides.")
    allow_gids: list[int | str] = Field(default=[], description="Groups, likewise.")
    allow_from: Networks | None = Field(default=None, description="Networks that clients come from, for this one only.")


class Config(Strict):
    """A host."""

    objects: list[ObjectPart] = Field(min_length=1)
    channels: list[ChannelPart] = Field(min_length=1)
    allow: Allow | None = Field(default=None, description="For objects that have no rule of their own.")
    formatters: list[str] | None = Field(default=None, min_length=1, description="Offered to clients, by preference.")
    authenticators: list[AuthenticatorPart] = Field(default=[], description="Nobody is let in without one of them.")
    sinks: list[str] = Field(default=[], description="Names of installed sinks, outermost first.")
    grace: float | None = Field(default=None, ge=0, description="Seconds a lost client has to come back.")
    custom_errors: bool = Field(default=False, description="Send no tracebacks, not even to the owner.")
    limits: LimitsPart | None = None  # type: ignore[valid-type]  # made above
    quotas: QuotasPart | None = None  # type: ignore[valid-type]  # made above
    admission: AdmissionPart | None = None  # type: ignore[valid-type]  # made above
    allow_from: Networks = Field(default=[], description="Networks that clients come from; empty: any.")
    lease: LeasePart | None = Field(default=None, description="Of client-activated classes that say none.")  # type: ignore[valid-type]  # made above
    audit: AuditPart | None = None


def load(file: str | os.PathLike[str]) -> Config:
    """The configuration in ``file``.

    Raises:
        OSError: it cannot be read.
        AccessDenied: everybody may write it, and with it choose what is imported.
        ValueError: it makes no sense; each problem has a line, with its key.
    """
    path = Path(file)
    with path.open("rb") as opened:
        found = os.fstat(opened.fileno())
        if os.name == "posix" and found.st_mode & stat.S_IWOTH:
            raise AccessDenied(f"{path}: everybody may write it, and it names code to import; run chmod o-w {path}")
        data = opened.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"{path}: more than {LARGEST} bytes; is it a configuration?")
    try:
        return Config.model_validate(tomllib.loads(data.decode("utf-8")))
    except ValidationError as error:
        problems = [f"{path}: {_key(each['loc'])}: {_said(each)}" for each in error.errors()]
        raise ValueError("\n".join(problems)) from None
    except ValueError as error:  # of TOML, or of its encoding
        raise ValueError(f"{path}: it is no TOML: {error}") from None


def _key(where: tuple[int | str, ...]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    return text.lstrip(".") or "the file"


def _said(problem: Any) -> str:  # one of pydantic's error details
    if problem["type"] == "extra_forbidden":
        return "there is no such key"
    if problem["type"] == "missing":
        return "it is missing"
    return str(problem["msg"]).removeprefix("Value error, ")


def checked(file: str | os.PathLike[str]) -> Config:
    """The same, and the classes it names are there. Raises ValueError and the rest of `load`'s."""
    config = load(file)
    _classes(config, Path(file))
    return config


def made(file: str | os.PathLike[str], host: type[T]) -> T:
    """A ``host`` (`rpcx.Host`) as the file says, with its channels open and not started yet."""
    path, config = Path(file), load(file)
    options: dict[str, Any] = {"sinks": config.sinks, "allow": config.allow, "custom_errors": config.custom_errors}
    if config.formatters is not None:
        options["formatters"] = config.formatters
    if config.grace is not None:
        options["grace"] = config.grace
    options["limits"] = _part(config.limits, Limits, path, "limits")
    options["quotas"] = _part(config.quotas, Quotas, path, "quotas")
    options["admission"] = _part(config.admission, Admission, path, "admission")
    options["allow_from"] = config.allow_from
    options["authenticators"] = [_authenticator(part, path) for part in config.authenticators]
    options["lease"] = _part(config.lease, Lease, path, "lease")
    classes = _classes(config, path)
    if config.audit is not None:
        from rpcx.security.audit_log import AuditLog

        options["audit"] = AuditLog(path.parent / config.audit.file, chain=config.audit.chain, sync=config.audit.sync)
    running: Any = host(**options)
    try:
        _furnish(running, config, classes, path)
    except BaseException:
        running.close()
        raise
    return running  # type: ignore[no-any-return]  # a T, made above


def _furnish(running: Any, config: Config, classes: list[type], path: Path) -> None:  # a Host
    for index, (part, cls) in enumerate(zip(config.objects, classes, strict=True)):
        where = f"objects[{index}]"
        lease = _part(part.lease, Lease, path, f"{where}.lease")
        try:
            running.register(
                cls,
                uri=part.name,
                allow=part.allow,
                methods=part.methods,
                lease=lease,
                name=part.found_as,
                tags=part.tags,
            )
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {where}: {error}") from error
    for index, channel in enumerate(config.channels):
        where = f"channels[{index}]"
        try:
            running.listen(
                channel.url, insecure=channel.insecure, allow_uids=channel.allow_uids, allow_gids=channel.allow_gids,
                allow_from=channel.allow_from,
            )  # fmt: skip
        except (AccessDenied, ValueError, OSError) as error:
            raise _placed(error, f"{path}: {where}: ") from error


def _placed(error: Exception, where: str) -> Exception:
    """``error`` of the same kind, and where in the file it comes from."""
    if isinstance(error, AccessDenied):
        return type(error)(f"{where}{error}")
    if isinstance(error, OSError):
        return OSError(error.errno, f"{where}{error.strerror or error}")
    return ValueError(f"{where}{error}")


def _part(part: Any, of: type[T], path: Path, key: str) -> T | None:  # one of the models made above
    if part is None:
        return None
    try:
        return of(**part.model_dump(exclude_unset=True))
    except ValueError as error:
        raise ValueError(f"{path}: {key}: {error}") from error


def _authenticator(part: AuthenticatorPart, path: Path) -> Any:  # an Authenticator
    try:
        return find_authenticator(part.name)(**(part.model_extra or {}))
    except (TypeError, ValueError, ImportError) as error:  # it may need what is not installed
        raise ValueError(f"{path}: authenticators: {part.name}: {error}") from error


def _classes(config: Config, path: Path) -> list[type]:
    return [_class(part, f"{path}: objects[{index}].class") for index, part in enumerate(config.objects)]


def _class(part: ObjectPart, where: str) -> type:
    """The class that ``module:Class`` names."""
    module, _, name = part.class_.partition(":")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise ValueError(f"{where}: {module} cannot be imported: {error}") from error
    if not isinstance(found, type) or contract_of(found) is None:
        problem = "has no class" if found is None else "is there, but is no remote class:"
        raise ValueError(f"{where}: {module} {problem} {name}; decorate it with @rpcx.singleton or its kin")
    return found


def schema() -> dict[str, Any]:
    """The form of a configuration file, as JSON Schema."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema(by_alias=True)}
