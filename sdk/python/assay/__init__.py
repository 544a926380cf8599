"""What an evaluator written in Python sees of Assay: `import assay`.

In the sandbox the worker provides this module. This package is the same in shape, for editors, type checkers and an
evaluator's own tests; what needs the sandbox raises here, and a test puts a function of its own in its place:

    import assay, my_evaluator
    assay.params["limit"] = 20
    assay.run_candidate = lambda **program: {"exit_code": 0, "stdout": "42\\n", "stderr": "", ...}
    assert my_evaluator.run_evaluation(item)["score"] == 1

The types are for annotations only: they are not in the sandbox, so import them under `if TYPE_CHECKING:`.
"""
from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict, Union

params: dict[str, Any] = {}
"""The parameters of this evaluator, from its definition."""


class Side(TypedDict):
    """One side of an item."""

    input: Any  # the prompt, or what the data source's columns selected: a string or any JSON
    output: Any  # the response: a string or any JSON; None when the source has none
    text: NotRequired[str]  # the plain text of `output`, whatever its shape


class Item(TypedDict):
    """What `run_evaluation(item)` is given."""

    id: str  # identifies the item within its source
    index: int  # its position in the run, from 0
    sample: Side  # what is evaluated
    ground_truth: Side  # what it is compared with
    metadata: dict[str, Any]


class ResultDict(TypedDict):
    score: Union[float, bool]  # finite; True and False are 1 and 0 and set `passed`
    passed: NotRequired[bool]  # left out: the evaluation's threshold decides
    reason: NotRequired[str]  # why this score, for a person
    metrics: NotRequired[dict[str, float]]  # more numbers, by name


Result = Union[ResultDict, float, bool]
"""What `run_evaluation(item)` returns. Raise rather than return a score that means nothing: errors are counted beside
the mean."""


class Problem(TypedDict):
    kind: str
    message: str


class Candidate(TypedDict):
    """What became of a program."""

    exit_code: NotRequired[int]  # or `error`: it broke a limit, was ended by a signal or could not be started
    error: NotRequired[Problem]
    stdout: str
    stderr: str
    wall_ms: float
    cpu_ms: float
    memory_bytes: int


def run_candidate(*, language: Literal["python", "node", "shell"], source: str, stdin: str = "",
                  limits: dict[str, int] | None = None) -> Candidate:
    """Runs `source` as a program in a jail of its own; only what it prints comes back. Needs grants = ["candidate"].
    `limits` may have wall_ms, cpu_ms and memory_bytes."""
    raise RuntimeError("assay.run_candidate works in the sandbox only; in a test, put a function of yours in its place")


class Message(TypedDict):
    role: Literal["system", "user", "assistant"]
    content: Any  # a string, or a list of parts as OpenAI's chat completions take them


class Schema(TypedDict):
    """What the answer is to look like."""

    name: str
    schema: dict[str, Any]  # a JSON schema
    strict: NotRequired[bool]


class Tool(TypedDict):
    name: str
    arguments: str  # JSON


class TopLogprob(TypedDict):
    token: str
    logprob: float


class Logprob(TopLogprob):
    top: list[TopLogprob]


class Usage(TypedDict):
    """Tokens."""

    input: int
    cached: int  # of `input`
    output: int
    reasoning: int  # of `output`
    estimated: bool


class Reply(TypedDict):
    text: str
    finish: Literal["stop", "length", "content_filter", "refusal", "tool", "other"]
    finish_reason: str  # the provider's own word
    model: str
    refusal: NotRequired[str]
    reasoning: NotRequired[str]
    tool: NotRequired[Tool]
    logprobs: NotRequired[list[Logprob]]
    usage: NotRequired[Usage]
    cost: NotRequired[float]  # in US dollars; left out: the model has no price
    from_cache: bool


class ModelError(Exception):
    """A model that was asked did not reply. When nobody catches it, the evaluation ends with its kind."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind  # auth, billing, rate_limited, model_not_found, context_too_long, content_filter, timeout, ...


def llm(*, model: str, prompt: str | None = None, messages: list[Message] | None = None,
        params: dict[str, Any] | None = None, schema: Schema | None = None) -> Reply:
    """Asks the model of that name on the worker, which has the keys and counts the cost. Needs grants = ["llm"].
    Give either `prompt`, the one message of a user, or `messages`. `params` may have temperature, top_p, max_tokens,
    seed, stop, logprobs, top_logprobs, reasoning_effort and what else the model's provider takes. Raises ModelError
    when there is no reply. While it waits the wall deadline stands still."""
    raise RuntimeError("assay.llm works in the sandbox only; in a test, put a function of yours in its place")
