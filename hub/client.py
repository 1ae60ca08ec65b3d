"""The door to the Hub, where failures that pass are waited out.

Its address is that of HF_ENDPOINT. Nothing here takes a token: it comes from HF_TOKEN or from `hf auth login`, and
stays inside huggingface_hub.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import NoReturn, TypeVar

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import disable_progress_bars, logging

from ..core.errors import RobotroveError, UsageError

T = TypeVar("T")

TRIES = 8
LONGEST_PAUSE_S = 60.0  # of our own choice; the Hub may ask for more
_PASSING = {408, 429, 500, 502, 503, 504}
_CONFLICT = {409, 412}
# Errors of these packages say that no answer came. huggingface_hub uses some of them, depending on its version.
_TRANSPORTS = {"requests", "urllib3", "httpx", "httpcore", "httpx2", "httpcore2", "http"}
_LOG_IN = "log in with `hf auth login` or set HF_TOKEN, then rerun the command to resume"


class Interrupted(Exception):
    """An act that may or may not have been done: look again, after a pause."""

    def __init__(self, why: str, pause_s: float) -> None:
        self.why = why
        self.pause_s = pause_s
        super().__init__(why)


class Conflict(Interrupted):
    """Somebody else was faster."""


class Hub:
    """Calls the Hub.

    Args:
        on_pause: Told why nothing happens for a while.
        tries: How often what may pass is tried.
    """

    def __init__(self, on_pause: Callable[[str], None] = lambda why: None, tries: int = TRIES) -> None:
        self.api = HfApi()
        self._tries = tries
        self._on_pause = on_pause
        disable_progress_bars()
        logging.set_verbosity(logging.ERROR)  # its warnings are about what is waited out here

    def call(self, where: str, act: Callable[[], T]) -> T:
        """Do what does no harm when it is done twice; repeat it where that may help.

        Args:
            where: What it is about, for error texts.
            act: Calls `api`.

        Raises:
            RobotroveError: If the Hub says no, or cannot be reached after all.
        """
        for tries in range(self._tries):
            try:
                return act()
            except Exception as exc:
                pause_s = _pause(exc)
                if pause_s is None or tries == self._tries - 1:
                    _fail(where, exc)
                self.pause(_told(exc), pause_s or min(2.0**tries, LONGEST_PAUSE_S))
        raise AssertionError  # the last try returned or raised

    def once(self, where: str, act: Callable[[], T]) -> T:
        """Do what must not be repeated blindly, such as a commit; arguments as those of `call`.

        Raises:
            Interrupted: If it may have been done all the same; a Conflict if somebody else was faster.
            RobotroveError: If the Hub says no.
        """
        try:
            return act()
        except Exception as exc:
            if _status(exc) in _CONFLICT:
                raise Conflict(_told(exc), 0.0) from exc
            pause_s = _pause(exc)
            if pause_s is None:
                _fail(where, exc)
            raise Interrupted(_told(exc), pause_s) from exc

    def pause(self, why: str, seconds: float) -> None:
        """Wait, and say why."""
        self._on_pause(f"waiting {seconds:.0f} s: {why}")
        time.sleep(seconds)


def is_logged_in() -> bool:
    """Return True if there is a token."""
    return get_token() is not None


def check_logged_in() -> None:
    """Refuse to begin what needs a token without one.

    Raises:
        UsageError: If there is none.
    """
    if not is_logged_in():
        raise UsageError("the Hub", "you are not logged in", "a token with write access", _LOG_IN)


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what it came from; huggingface_hub wraps those of its threads."""
    cause: BaseException | None = exc
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _http_error(exc: BaseException) -> HfHubHTTPError | None:
    return next((cause for cause in _causes(exc) if isinstance(cause, HfHubHTTPError)), None)


def _status(exc: BaseException) -> int | None:
    error = _http_error(exc)
    return error.response.status_code if error is not None and error.response is not None else None


def _is_transport(exc: BaseException) -> bool:
    home = type(exc).__module__.partition(".")[0]
    return home in _TRANSPORTS or isinstance(exc, ConnectionError | TimeoutError)


def _pause(exc: BaseException) -> float | None:
    """Return how long the Hub asks to wait, 0 if it does not say, None if repeating is of no use."""
    error = _http_error(exc)
    if error is None or error.response is None:
        return 0.0 if any(map(_is_transport, _causes(exc))) else None
    if error.response.status_code not in _PASSING:
        return None
    headers = error.response.headers
    asked = re.match(r"\d+", headers.get("Retry-After", "")) or re.search(r"(?<=t=)\d+", headers.get("RateLimit", ""))
    return float(asked[0]) if asked else 0.0


def _told(exc: BaseException) -> str:
    """Return what the Hub said, on one line and without addresses of storage, which may be signed."""
    error = _http_error(exc)
    if error is None:
        exc = next((cause for cause in _causes(exc) if _is_transport(cause)), exc)
        text = re.sub(r"https?://\S+", "…", " ".join(str(exc).split()))
        return f"{type(exc).__name__}: {text}" if _is_transport(exc) else text
    said = " ".join(str(error.server_message or "").split())
    return f"the Hub answered {_status(exc)}" + (f": {said}" if said else "")


def _fail(where: str, exc: Exception) -> NoReturn:
    """Say in words why the Hub did not do what was asked."""
    status, told = _status(exc), _told(exc)
    rerun = "rerun the command to resume"
    error = _http_error(exc)
    if isinstance(error, RevisionNotFoundError):
        raise UsageError(where, "has no such branch, tag or commit", "one that the repository's page lists") from exc
    if status == 401:  # huggingface_hub makes a RepositoryNotFoundError of most of these too
        raise RobotroveError(where, told, "a valid token", _LOG_IN) from exc
    if isinstance(error, RepositoryNotFoundError):
        raise UsageError(where, "not found, or your token may not read it", "OWNER/NAME") from exc
    if status in (402, 403, 413):
        raise RobotroveError(where, told, "write access and free storage", f"get them, then {rerun}") from exc
    if status is not None or any(map(_is_transport, _causes(exc))):
        raise RobotroveError(where, told, "a complete answer", f"wait a while, then {rerun}") from exc
    # What huggingface_hub makes of single files that the Hub refused; files here that cannot be read or written.
    if type(exc) is ValueError or isinstance(exc, OSError):
        raise RobotroveError(where, told, "files that the Hub accepts", f"fix them, then {rerun}") from exc
    raise exc  # a bug
