# The Python side of the process host (sandbox/runtime/process/python.cpp), given to the interpreter by -c. It loads
# the evaluator once and then forks a child for every item, so that each starts from the same fresh module state.
# Descriptor 3 brings frames (4 bytes of length, then JSON) and takes records of what became of each child; the child
# writes its one result to descriptor 4. Standard output and error are the log.
import _thread
import gc
import json
import linecache
import math
import os
import random
import struct
import sys
import traceback
import types

CONTROL, RESULTS = 3, 4
STARTED, ENDED, LOADED, REFUSED, NOT_STARTED = 1, 2, 3, 4, 5
ENCODE = json.JSONEncoder(ensure_ascii=True, allow_nan=False).encode
COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
DECODE = json.JSONDecoder().decode
WARM_UP = 40  # calls after which the interpreter has made all it makes of a function
RECORD = struct.Struct("<iiqq")  # kind, process or status, processor time in us, peak memory in bytes
OUT_OF_MEMORY_TEXT = b'{"error":{"kind":"memory_limit","message":"ran out of memory"}}'
OUT_OF_MEMORY = len(OUT_OF_MEMORY_TEXT).to_bytes(4, "little") + OUT_OF_MEMORY_TEXT
PACKAGES = "/assay/packages"
CALL_LIMIT = 4 << 20
OURS = "<string>"  # what the interpreter calls the text of -c


class BadResult(Exception):
    pass


class ModelError(Exception):
    """A model that was asked did not reply. `kind` says why: auth, billing, rate_limited, ..."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def read_exactly(descriptor, size):
    parts = []
    while size > 0:
        part = os.read(descriptor, min(size, 1 << 20))
        if not part:
            os._exit(0)  # the host has gone
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_frame():
    return read_exactly(CONTROL, int.from_bytes(read_exactly(CONTROL, 4), "little"))


def write_all(descriptor, data):
    while data:
        data = data[os.write(descriptor, data):]


def framed(result):
    text = ENCODE(result).encode()
    return len(text).to_bytes(4, "little") + text


def write_result(result):
    write_all(RESULTS, framed(result))


def clean(text):
    return text.encode("utf-8", "replace").decode()


def described(value):
    if isinstance(value, str):
        return 'the string "%s"' % (value if len(value) <= 60 else value[:60] + "…")
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)[:60]
    return "a " + type(value).__name__


def number(value, what):
    if isinstance(value, (str, bytes, complex)) or not hasattr(value, "__float__"):
        raise BadResult("%s %s; return a number, True or False, or a dict with a numeric score" % (what, described(value)))
    try:
        value = float(value)
    except (OverflowError, ValueError, TypeError) as error:
        raise BadResult("%s no usable number: %s" % (what, error)) from None
    if not math.isfinite(value):
        raise BadResult("%s %s, which is not finite" % (what, value))
    return value


def result_of(value):
    if isinstance(value, bool):
        return {"score": float(value), "passed": value}
    if not isinstance(value, dict):
        return {"score": number(value, "run_evaluation returned")}
    if "score" not in value:
        raise BadResult("the returned dict has no score")
    score = value["score"]
    result = {"score": float(score) if isinstance(score, bool) else number(score, "score is")}
    passed = value.get("passed")
    if passed is None and isinstance(score, bool):
        passed = score
    if passed is not None:
        if not isinstance(passed, bool) and type(passed).__name__ != "bool_":
            raise BadResult("passed is %s; it must be True or False" % described(passed))
        result["passed"] = bool(passed)
    reason = value.get("reason")
    if reason is not None:
        if not isinstance(reason, str):
            raise BadResult("reason is %s; it must be a string" % described(reason))
        result["reason"] = clean(reason)
    metrics = value.get("metrics")
    if metrics is not None:
        if not isinstance(metrics, dict):
            raise BadResult("metrics is %s; it must be a dict of numbers" % described(metrics))
        result["metrics"] = {clean(str(key)): number(entry, "metrics[%r] is" % key) for key, entry in metrics.items()}
    return result


def explained(error):
    """The traceback without our own frames."""
    told = traceback.TracebackException.from_exception(error)
    part = told
    while part is not None:
        while part.stack and part.stack[0].filename == OURS:
            del part.stack[0]
        part = part.__cause__ or part.__context__
    return clean("".join(told.format()).strip())


def failure(error):
    if isinstance(error, MemoryError):
        return {"error": {"kind": "memory_limit", "message": "ran out of memory: " + explained(error)[-4000:]}}
    if isinstance(error, ModelError):
        return {"error": {"kind": clean(str(error.kind)), "message": clean(str(error))[:16000]}}
    if isinstance(error, BadResult):
        return {"error": {"kind": "bad_result", "message": clean(str(error))}}
    if isinstance(error, SystemExit):
        return {"error": {"kind": "evaluator_error", "message": "the evaluator called exit(%s)" % error.code}}
    return {"error": {"kind": "evaluator_error", "message": explained(error)[-16000:]}}


class Worker:
    """What the worker does for evaluators, as `import assay` gives it to them."""

    def __init__(self, grants):
        self.grants = grants
        self.is_at_item = False  # no longer at the top level
        self.turn = _thread.allocate_lock()  # one call at a time

    def check_granted(self, function, grant):
        if grant not in self.grants:
            raise PermissionError('assay.%s was not granted: add grants = ["%s"] to the evaluator\'s definition' % (function, grant))
        if not self.is_at_item:
            raise RuntimeError("assay.%s can be called by run_evaluation, not while the file is loaded" % function)

    def call(self, method, params):
        text = COMPACT({"call": method, "params": params}).encode("utf-8", "replace")
        if len(text) > CALL_LIMIT:
            raise ValueError("what the worker is asked is larger than 4 MiB")
        with self.turn:
            write_all(RESULTS, len(text).to_bytes(4, "little") + text)
            answer = DECODE(read_exactly(RESULTS, int.from_bytes(read_exactly(RESULTS, 4), "little")).decode())
        if "error" in answer:
            raise ModelError(answer["error"]["kind"], answer["error"]["message"])
        return answer["result"]

    def run_candidate(self, *, language, source, stdin="", limits=None):
        self.check_granted("run_candidate", "candidate")
        if not isinstance(language, str) or not isinstance(source, str) or not isinstance(stdin, str):
            raise TypeError("run_candidate: language, source and stdin must be strings")
        return self.call("run_candidate", {"language": language, "source": source, "stdin": stdin, "limits": dict(limits or {})})

    def llm(self, *, model, prompt=None, messages=None, params=None, schema=None):
        self.check_granted("llm", "llm")
        if not isinstance(model, str):
            raise TypeError("llm: model must be a string")
        if (prompt is None) == (messages is None):
            raise TypeError("llm: give either prompt or messages")
        if messages is None:
            messages = [{"role": "user", "content": prompt}]
        request = {"model": model, "messages": messages, "params": params, "schema": schema}
        return self.call("llm.complete", {name: value for name, value in request.items() if value is not None})


def load(request, worker):
    assay = types.ModuleType("assay")
    assay.run_candidate = worker.run_candidate
    assay.llm = worker.llm
    assay.ModelError = ModelError
    assay.params = request["params"]
    sys.modules["assay"] = assay
    # A file name that tracebacks show, with its lines.
    name = request["evaluator"] + ".py"
    linecache.cache[name] = (len(request["source"]), None, request["source"].splitlines(True), name)
    module = types.ModuleType("evaluator")
    module.__file__ = name
    module.params = request["params"]
    sys.modules["evaluator"] = module
    exec(compile(request["source"], name, "exec"), module.__dict__)
    run = getattr(module, "run_evaluation", None)
    if not callable(run):
        raise BadResult(name + " defines no function run_evaluation(item)")
    return run


def answer(run, text):
    item = DECODE(text)
    # The same numbers for an item wherever and whenever it runs.
    random.seed(int.from_bytes(("%s:%s" % (item.get("index"), item.get("id"))).encode(), "little"))
    return framed(result_of(run(item)))


def run_item(run, text, worker):
    worker.is_at_item = True
    os.close(CONTROL)
    for descriptor in (1, 2, RESULTS):
        try:
            os.set_blocking(descriptor, True)  # an earlier item may have changed it for all that share the open file
        except OSError:
            pass  # the evaluator has closed it
    try:
        try:
            frame = answer(run, text)
        except BaseException as error:
            frame = framed(failure(error))
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException:
            pass
        write_all(RESULTS, frame)
    except MemoryError:
        write_all(RESULTS, OUT_OF_MEMORY)
    except BaseException:
        os._exit(1)
    os._exit(0)


def warm_up():
    """What a function is made into by its first calls is made here, once, and not in every child."""
    example = {"score": 1, "passed": True, "reason": "example", "metrics": {"example": 1.5}}
    text = '{"id":"1","index":1,"sample":{"input":"a","output":"b","text":"b"},"ground_truth":{},"metadata":{}}'
    for _ in range(WARM_UP):
        answer(lambda item: example, text)


def main():
    sys.path[:] = [entry for entry in sys.path if entry]
    if os.path.isdir(PACKAGES) and os.listdir(PACKAGES):  # before those of the machine
        sys.path.insert(next((i for i, entry in enumerate(sys.path) if "-packages" in entry), len(sys.path)), PACKAGES)
    sys.stdout.reconfigure(errors="replace", line_buffering=True)
    sys.stderr.reconfigure(errors="replace", line_buffering=True)
    if os.environ.pop("ASSAY_LOCK", "") != "locked":
        os._exit(1)
    os.environ.pop("LD_PRELOAD")
    request = json.loads(read_frame())
    worker = Worker(request["grants"])
    try:
        run = load(request, worker)
    except BaseException as error:
        message = str(error) if isinstance(error, BadResult) else explained(error)[-16000:]
        try:
            write_result({"error": {"kind": "config", "message": clean(message)}})
            write_all(CONTROL, RECORD.pack(REFUSED, 0, 0, 0))
        finally:
            os._exit(0)  # whatever the evaluator has done to our descriptors
    sys.stdout.flush()
    sys.stderr.flush()
    warm_up()
    gc.collect()
    gc.freeze()  # a collection in a child would otherwise write to, and so copy, every page of ours
    write_all(CONTROL, RECORD.pack(LOADED, 0, 0, 0))
    while True:
        text = read_frame().decode()
        try:
            child = os.fork()
        except OSError:
            write_all(CONTROL, RECORD.pack(NOT_STARTED, 0, 0, 0))
            continue
        if child == 0:
            run_item(run, text, worker)
        del text
        write_all(CONTROL, RECORD.pack(STARTED, child, 0, 0))
        _, status, usage = os.wait4(child, 0)
        cpu = int((usage.ru_utime + usage.ru_stime) * 1e6)
        write_all(CONTROL, RECORD.pack(ENDED, status, cpu, usage.ru_maxrss * 1024))


main()
