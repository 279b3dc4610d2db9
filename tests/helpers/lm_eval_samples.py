"""What lm-eval itself makes of a model: what ours is held against."""

from copy import deepcopy


def logged(language, include_path, task, batch, **settings):
    """What lm-eval logs of each document of a task, once for each filter."""
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    results = lm_eval.simple_evaluate(
        HFLM(pretrained=language.model, tokenizer=deepcopy(language.tokenizer), batch_size=batch),
        tasks=[task],
        task_manager=TaskManager(include_path=str(include_path), include_defaults=False),
        bootstrap_iters=0,
        **settings,
    )
    return results["samples"][task]
