"""Asking a server that speaks JSON over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from fitness.messages import decoded

PAUSE = 0.2
"""Seconds before a server that could not be reached is asked again, times the attempt."""

LONGEST = 200
"""Characters of an answer that a message shows."""

BUSY = 503
"""The status of a server that will have time later."""


def ask(
    url: str,
    content: Mapping[str, Any] | None,
    query: Mapping[str, Any],
    *,
    timeout: float,
    retries: int,
) -> Any:
    """What a server answers to a POST of an object, or to a GET if there is none.

    Args:
        url: where to ask.
        content: the object.
        query: what is added to the address.
        timeout: seconds after which a server that does not answer has failed.
        retries: how often one that refuses the connection, or is busy, is asked again.

    Raises:
        TimeoutError: if it does not answer in time. It is not asked again: it may have done what it
            was asked.
        OSError: if it cannot be reached or fails (an answer of 500 or above).
        ValueError: if it refuses what it was asked (400 to 499), or its answer is not JSON.
    """
    body = None
    if content is not None:
        body = json.dumps(content).encode()
    address = url
    if query:
        address += f"?{urlencode(query)}"
    headers = {"Content-Type": "application/json"}
    request = Request(address, body, headers)  # noqa: S310 (HttpEnvironment takes http alone)
    for attempt in range(retries + 1):
        is_last = attempt == retries
        try:
            with urlopen(request, timeout=timeout) as response:  # noqa: S310
                answer = response.read()
            break
        except HTTPError as error:
            with error:
                reason = decoded(error.read(), LONGEST)
            # what was refused would be refused again
            if error.code < 500:
                raise ValueError(
                    f"{url}: the server refused {decoded(body or b'', LONGEST)}: "
                    f"{error.code}, {reason}"
                ) from None
            if error.code != BUSY or is_last:
                raise OSError(f"{url}: the server failed: {error.code}, {reason}") from None
        # the server may have done what it was asked, so it is not asked again
        except TimeoutError:
            raise TimeoutError(f"{url}: no answer in {timeout:g} seconds") from None
        except URLError as error:
            if isinstance(error.reason, TimeoutError):
                raise TimeoutError(f"{url}: no connection in {timeout:g} seconds") from None
            if is_last:
                raise OSError(f"{url}: the server cannot be reached: {error.reason}") from None
        # here, too, nobody knows how far the server came
        except (OSError, HTTPException) as error:
            raise OSError(f"{url}: the connection broke: {type(error).__name__}: {error}") from None
        time.sleep(PAUSE * (attempt + 1))
    # a proxy before the server may answer with a page
    try:
        return json.loads(answer)
    except ValueError:
        raise ValueError(
            f"{url}: expected an answer in JSON, got {decoded(answer, LONGEST)}"
        ) from None
