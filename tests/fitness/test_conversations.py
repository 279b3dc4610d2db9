"""Conversations of one question and its answer, read from files."""

import json

import pytest

from fitness.conversations import Conversations
from fitness.questions import QuestionAnswering
from fitness.records import Part

USER = {"role": "user", "content": "2 + 2?"}
ASSISTANT = {"role": "assistant", "content": "4"}
SYSTEM = {"role": "system", "content": "Be brief."}


def written(folder, *conversations, field="messages"):
    path = folder / "talk.jsonl"
    path.write_text("".join(json.dumps({field: messages}) + "\n" for messages in conversations))
    return path


def test_each_is_a_question_and_an_answer(tmp_path):
    theirs = [{"from": "human", "value": "3 + 3?"}, {"from": "gpt", "value": "6"}]
    path = written(tmp_path, [SYSTEM, USER, ASSISTANT], theirs)
    data = Conversations(Part(path, stop=1), Part(path, start=1))
    assert data.split("train") == [{"system": "Be brief.", "question": "2 + 2?", "answer": "4"}]
    assert data.split("test") == [{"system": "", "question": "3 + 3?", "answer": "6"}]
    assert data.split("validation") is None
    assert QuestionAnswering(data).size("test") == 1
    assert data.where(0, "test") == f"{path}, line 2"


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (None, "expected a list of messages, got null"),
        ("hello", "expected a list of messages, got 'hello'"),
        ([USER], "expected one message of the user and one of the assistant, got user"),
        ([], "got none"),
        ([USER, ASSISTANT, USER, ASSISTANT], "got user, assistant, user, assistant"),
        ([ASSISTANT, USER], "got assistant, user"),
        ([USER, ASSISTANT | {"tool_calls": [{}]}], "expected a message of text alone, it has tool"),
        ([USER, {"role": "assistant", "tool_calls": []}], "expected a message with role and"),
        ([USER, "4"], "expected a message with role and content, got '4'"),
    ],
)
def test_what_is_none_is_refused_with_its_line(tmp_path, messages, said):
    path = written(tmp_path, [USER, ASSISTANT], messages, field="turns")
    with pytest.raises(ValueError, match="line 2: turns: expected ") as error:
        Conversations(path, field="turns").split("train")
    assert str(path) in str(error.value)
    assert said in str(error.value)


def test_a_record_without_the_field_names_those_that_there_are(tmp_path):
    """ShareGPT's files have `conversations`, and are no lists that are missing."""
    path = written(tmp_path, [USER, ASSISTANT], field="conversations")
    said = "line 1: field: no field 'messages'; its fields: conversations"
    with pytest.raises(ValueError, match=said):
        Conversations(path).split("train")


def test_a_systems_message_that_no_prompt_would_have_is_refused(tmp_path):
    data = Conversations(written(tmp_path, [USER, ASSISTANT], [SYSTEM, USER, ASSISTANT]))
    said = r"datapoint 1 of train \(.*, line 2\): the system's message 'Be brief.' would be in no"
    with pytest.raises(ValueError, match=said):
        QuestionAnswering(data, chat=True).size("train")
    for settings in ({"system": "Be brief."}, {"template": "{system} {question}"}):
        assert QuestionAnswering(data, chat=True, **settings).size("train") == 2
    nothing = SYSTEM | {"content": " "}
    assert QuestionAnswering(
        Conversations(written(tmp_path, [nothing, USER, ASSISTANT])), chat=True
    ).size("train")
    data = Conversations(written(tmp_path, [USER, ASSISTANT], [SYSTEM, USER, ASSISTANT]))
    # without a chat template the prompt is what the user writes
    assert QuestionAnswering(data).size("train") == 2
