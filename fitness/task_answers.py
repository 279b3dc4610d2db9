"""A model's answers to the requests of a task of lm-eval."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence
from itertools import chain
from typing import Any

from fitness.families import companies
from fitness.lm_eval_library import quiet, seeded
from fitness.tasks import Requests


def answer(task: Any, lm: Any, asked: Sequence[Requests], seed: int) -> list[Requests]:
    """The same requests with the model's answers, raw and filtered.

    Args:
        task: lm-eval's own object.
        lm: the model as `fitness.lm_eval_library.wrap` gives it.
        asked: the requests of each document.
        seed: of what is drawn where answers are sampled.
    """
    # requests are made once and asked by every member, so answers go into copies
    answered = []
    for requests in asked:
        answered.append([_fresh(request) for request in requests])
    every_request = list(chain.from_iterable(answered))
    with quiet(), seeded(seed, seed):
        # lm-eval has a method for each kind of request, and a task may have several kinds
        kinds = dict.fromkeys(request.request_type for request in every_request)
        for kind in kinds:
            for company in _companies(lm, kind, _queue(every_request, kind)):
                responses = getattr(lm, kind)(company, disable_tqdm=True)
                for request, response in zip(company, responses, strict=True):
                    request.resps.append(response)
        # lm-eval filters what the task holds as its instances
        task._instances = every_request
        task.apply_filters()
    return answered


def _fresh(request: Any) -> Any:
    """A request that nobody has answered yet."""
    return dataclasses.replace(
        request, arguments=copy.deepcopy(request.arguments), resps=[], filtered_resps={}
    )


def _queue(requests: Requests, kind: str) -> Requests:
    """The requests of one kind, each as often as it is to be answered."""
    queue = []
    for request in requests:
        if request.request_type == kind:
            queue += [request] * (request.repeats or 1)
    return queue


def _companies(lm: Any, kind: str, queue: Requests) -> list[Requests]:
    """The requests that are put to a model together.

    lm-eval pads prompts of generation on the left, which some models read.
    """
    if kind != "generate_until" or len(companies(lm.model, [1, 2])) == 1:
        return [queue]
    # a model that reads padding gets prompts of one length side by side
    lengths = [lm.tok_batch_encode([request.args[0]])[0].shape[1] for request in queue]
    together = []
    for places in companies(lm.model, lengths):
        together.append([queue[place] for place in places])
    return together
