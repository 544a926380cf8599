"""The server keeps to its own description, /openapi.json, whatever it is sent."""
import collections
import http.client
import json
import os
import pathlib
import re
import sys
import time
import urllib.parse

from harness import Case, UnixConnection, main

sys.path.append("/usr/lib/python3/dist-packages")  # Debian's, for another Python than Debian's
import jsonschema

from json_maker import HUGE, STRANGE, Maker

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent))
import postgres

SECONDS = float(os.environ.get("ASSAY_FUZZ_SECONDS", "10"))  # for each kind of store
SEED = int(os.environ.get("ASSAY_FUZZ_SEED", "1"))
JSON = "application/json"
LINES = "application/jsonl"
# What is valid by itself may not fit its other fields, or what the server holds: 422 is right there.
JUDGED = {"post_evaluators", "patch_evaluators_evaluator", "post_evaluation_runs", "get_containers_container_logs",
          "get_datasets_dataset_rows", "get_evaluation_runs_run_results", "post_workers", "post_datasets",
          "post_runs_run_shards_shard_outcomes"}


class Operation:
    def __init__(self, method, path, details, document):
        self.method = method.upper()
        self.path = path
        self.name = details["operationId"]
        self.open = details.get("security") == []
        self.parameters = [document["components"]["parameters"][p["$ref"].rsplit("/", 1)[1]] if "$ref" in p else p
                           for p in details.get("parameters", [])]
        self.body = {media: what["schema"] for media, what in details.get("requestBody", {}).get("content", {}).items()}
        self.responses = {status: document["components"]["responses"][r["$ref"].rsplit("/", 1)[1]] if "$ref" in r else r
                          for status, r in details["responses"].items()}


class OpenApi(Case):
    def begin(self, store):
        self.serve(store=store)
        self.connection = None
        self.addCleanup(self.hang_up)
        self.document = self.ask("GET", "/openapi.json")[2]
        self.operations = [Operation(method, path, details, self.document)
                           for path, methods in self.document["paths"].items() for method, details in methods.items()]
        self.validators = {}
        self.keys = {"admin": self.key("admin", "submit", "read", store=store),
                     "worker": self.key("worker", store=store),
                     "monitor": self.key("monitor", project="*", store=store)}
        self.admin = self.keys["admin"]

    def hang_up(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None

    def ask(self, method, target, body=None, headers=()):
        """Status, headers and parsed body of one request over a connection that is kept."""
        for _ in range(2):
            if self.connection is None:
                self.connection = UnixConnection(self.socket)
            try:
                self.connection.request(method, target, body=body, headers=dict(headers))
                answer = self.connection.getresponse()
                break
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                self.hang_up()  # the server ends a connection whose body it does not read
        else:
            self.fail(f"no answer to {method} {target}")
        media = answer.headers.get("Content-Type", "").split(";")[0]
        if media == "text/event-stream":  # it goes on until the run ends
            answer.fp.readline()
            answer.close()
            self.hang_up()
            return answer.status, answer.headers, ""
        text = answer.read().decode()
        if answer.will_close:
            self.hang_up()
        if media == JSON:
            return answer.status, answer.headers, json.loads(text)
        if media == LINES:
            return answer.status, answer.headers, [json.loads(line) for line in text.splitlines()]
        return answer.status, answer.headers, text

    def validator(self, schema):
        key = json.dumps(schema)
        if key not in self.validators:
            self.validators[key] = jsonschema.Draft202012Validator({**schema, "components": self.document["components"]})
        return self.validators[key]

    def check_schema(self, schema, value):
        for error in self.validator(schema).iter_errors(value):
            raise AssertionError(f"{error.json_path}: {error.message}\n{json.dumps(value)[:2000]}")

    def check(self, operation, answer, what):
        """An answer is one that the operation documents, and as it says."""
        status, headers, value = answer
        try:
            self.assertIn(str(status), list(operation.responses), "a status that is not documented")
            self.assertTrue(status < 500 or status == 501, "the server failed")
            self.assertTrue(headers["X-Request-Id"])
            content = operation.responses[str(status)].get("content", {})
            media = headers.get("Content-Type", "").split(";")[0]
            if not content:
                self.assertEqual(value, "")
                return
            self.assertIn(media, content)
            schema = content[media]["schema"]
            for line in value if media == LINES else []:
                self.check_schema(schema["x-line"], line)
            if media == JSON:
                self.check_schema(schema, value)
        except AssertionError as error:
            raise AssertionError(f"{operation.name}: {what}\n{status} {str(value)[:2000]}\n{error}") from None

    # What is there to be found.

    def furnish(self):
        """A container with logs, a dataset, evaluators, a run that goes on with a leased shard, and one that ended."""
        self.ok("POST", "/v1/containers", {"label": "app"})
        log = {"input": {"messages": []}, "output": {"choices": []}}
        self.ok("POST", "/v1/chat/completions/register", {"container": "app", "items": [log] * 5})
        self.ok("POST", "/v1/datasets?name=rows", b'{"q":1,"a":"x"}\n' * 5, headers={"Content-Type": LINES})
        for name in ("one", "two"):
            self.ok("POST", "/v1/evaluators", {"type": "code", "language": "lua", "name": name, "code": "return 1"})
        side = {"type": "dataset", "dataset": "rows", "columns": {"input": "q"}}
        runs = [self.ok("POST", "/v1/evaluation/runs", {"container": "app", "evaluators": ["one"], "sample": side,
                                                        "ground_truth": side, "shard_size": 2, "priority": priority,
                                                        "spend_limit": 5})["id"]
                for priority in (9, 5, 0)]
        self.capped = runs[2]
        self.generating = self.ok("POST", "/v1/evaluation/runs", {  # nobody here has its models
            "container": "app", "evaluators": ["one"], "ground_truth": side,
            "sample": {"type": "generate", "models": ["openai/gpt-4o"]}})["id"]
        worker = {"name": "w", "boot_id": "b", "protocol": 1, "sandbox": "full", "labels": ["language:lua"]}
        who = {"worker_id": self.ok("POST", "/v1/workers", worker, key=self.keys["worker"])["worker_id"], "boot_id": "b"}
        leases = self.ok("POST", "/v1/claims", {**who, "claim_id": "c", "max": 3}, key=self.keys["worker"])["leases"]
        self.assertEqual({lease["run"] for lease in leases}, {runs[0]})
        scored = {"score": 0.5, "passed": True, "usage": {"wall_us": 5}}
        for lease in leases:
            held = {**who, "epoch": lease["epoch"], "token": lease["token"], "batch": 0}
            outcomes = [{"item": item, **(scored if item else {"error": {"kind": "timeout", "message": "slow"}})}
                        for item in range(lease["lo"], lease["hi"])]
            self.ok("POST", f"/v1/runs/{lease['run']}/shards/{lease['shard']}/outcomes", {**held, "outcomes": outcomes},
                    key=self.keys["worker"])
        self.ok("POST", "/v1/complete", {**who, "leases": [{k: l[k] for k in ("run", "shard", "epoch", "token")}
                                                           for l in leases]}, key=self.keys["worker"])
        self.assertEqual(self.finished(runs[0])["status"], "completed")
        held = self.ok("POST", "/v1/claims", {**who, "claim_id": "d", "max": 1}, key=self.keys["worker"])["leases"][0]
        self.who = who
        self.lease = held  # the newest
        self.run_body = {"container": "app", "evaluators": ["one"], "sample": side, "ground_truth": side, "shard_size": 1}
        return {"container": ["app"], "dataset": ["rows"], "evaluator": ["one", "two"], "evaluators": ["one", "two"],
                "run": runs, "source_run": runs[:1], "shard": [str(held["shard"])], "token": [held["token"]],
                "worker_id": [who["worker_id"]], "boot_id": ["b"], "input": ["q"], "output": ["a"], "join": ["q", "a"],
                "environment": ["main"]}

    def known(self, operation, valid):
        """What fits together, where chance would not find it: path parameters, and a body like `valid`."""
        lease = self.lease
        place = {"run": lease["run"], "shard": lease["shard"]}
        held = {**self.who, "epoch": lease["epoch"], "token": lease["token"]}
        if operation.name == "post_evaluation_runs":
            return {}, self.run_body
        if operation.name.startswith("post_runs_run_shards_shard"):
            return place, {**valid, **held, **({"outcomes": [{"item": lease["lo"], "score": 1}]} if "outcomes" in valid else {})}
        if operation.name == "patch_evaluators_evaluator":
            return {}, {"description": "what " + str(valid.get("description", "it is"))}
        if operation.name == "post_runs_run_spend":
            return {"run": self.capped}, {**self.who, "wanted": 1, "returned": 0}
        if "worker_id" in valid:
            return {}, {**valid, **self.who}
        return {}, valid

    # Requests.

    def target(self, operation, maker, wild, place=()):
        path = operation.path
        for name, value in dict(place).items():
            path = path.replace("{%s}" % name, str(value))
        query = []
        for parameter in operation.parameters:
            name, schema = parameter["name"], parameter["schema"]
            value = maker.random.choice([*STRANGE, *HUGE]) if wild and maker.random.random() < 0.3 else maker.valid(schema, name)
            if parameter["in"] == "path":
                if str(value) in ("", ".", ".."):
                    value = "x"
                path = path.replace("{%s}" % name, urllib.parse.quote(str(value), safe=""))
            elif parameter["in"] == "query" and maker.random.random() < 0.4:
                query.append((name, str(value).lower() if isinstance(value, bool) else str(value)))
        if wild and maker.random.random() < 0.1:
            query.append((maker.word(), maker.random.choice(STRANGE)))
        text = "/v1" + path
        return text + ("&" if "?" in text else "?") + urllib.parse.urlencode(query) if query else text

    def headers(self, operation, maker, wild):
        headers = {}
        if not operation.open:
            role = self.roles.get(operation.name, "admin")
            headers["Authorization"] = f"Bearer {self.keys[role]}"
        if maker.random.random() < 0.3:
            headers["Accept"] = LINES
        if wild:
            for name, values in {"Authorization": ["Bearer ak_no", "Basic eA==", "Bearer", f"Bearer {self.keys['worker']}"],
                                 "Accept": ["*/*", "application/xml"], "Idempotency-Key": ["k", "x" * 256, "\xff", "one"],
                                 "X-Request-Id": ["mine", "a b", "x" * 65]}.items():
                if maker.random.random() < 0.03:
                    headers[name] = maker.random.choice(values)
        return headers

    def body(self, operation, maker, wild, known):
        """Media type, text, and the value when the body is a JSON document."""
        if not operation.body or (wild and maker.random.random() < 0.02):
            return None, None, None
        media = JSON if known else maker.random.choice(list(operation.body))
        schema = operation.body[media]
        if media == LINES:
            rows = [maker.valid(schema["x-line"]) for _ in range(maker.random.randrange(1, 4))]
            text = "".join(json.dumps(maker.mutated(r) if wild else r) + "\n" for r in rows).encode()
            return media, text, None
        value = known or maker.valid(schema)
        if wild:
            value = maker.mutated(value)
        text = json.dumps(value, ensure_ascii=maker.random.random() < 0.5).encode()
        if wild and maker.random.random() < 0.06:
            return maker.random.choice([JSON, "text/plain", "application/xml", "application/json; charset=latin1"]), \
                maker.random.choice([text[:-1], text + b"x", b"", b"\xff\xfe", b"[" * 5000, b"null", b"1e999", text * 2,
                                     b'{"a":1,"a":2}', b"\x00" + text]), None
        return media, text, value

    def fuzz(self, store):
        self.begin(store)
        self.roles = {o.name: role for o in self.operations for role in ("worker", "monitor")
                      if f"scopes: {role}." in self.document["paths"][o.path][o.method.lower()].get("description", "")}
        names = self.furnish()
        made = {}  # what was made on the way, for all to find and for DELETE to take
        maker = Maker(self.document, SEED, names)
        seen = collections.Counter()
        worked = set()
        end = time.monotonic() + SECONDS
        count = 0
        while count < 2000 or time.monotonic() < end:  # so many, that each operation has its chance on a slow machine
            operation = self.operations[count % len(self.operations)]
            wild = maker.random.random() < 0.6
            count += 1
            if maker.random.random() < 0.05:
                self.wreck(operation, maker)
                continue
            maker.names = made if operation.method == "DELETE" else names
            place, known = {}, None
            if JSON in operation.body and maker.random.random() < 0.4:
                place, known = self.known(operation, maker.valid(operation.body[JSON]))
            if operation.name == "get_worker_runs_run_generations" and maker.random.random() < 0.4:
                place = {"run": self.generating}
            target = self.target(operation, maker, wild, place)
            headers = self.headers(operation, maker, wild)
            media, text, value = self.body(operation, maker, wild, known)
            if isinstance(value, dict) and isinstance(value.get("wait_ms"), int):
                value["wait_ms"] = min(value["wait_ms"], 20)  # a test is no worker that waits for work
                text = json.dumps(value).encode()
            if media is not None:
                headers["Content-Type"] = media
            what = f"{operation.method} {target} {headers} {str(text)[:2000]}"
            answer = self.ask(operation.method, target, text, headers)
            self.check(operation, answer, what)
            seen[answer[0]] += 1
            if answer[0] < 300:
                worked.add(operation.name)
            if operation.name == "post_claims" and answer[0] == 200:
                self.lease = answer[2]["leases"][0]
            if operation.method == "POST" and answer[0] == 200 and "object" in answer[2]:
                kind = answer[2]["object"].rsplit(".", 1)[-1]
                made.setdefault(kind, []).append(answer[2].get("id"))
                names.setdefault(kind, []).append(answer[2].get("id"))
                del names[kind][8:-4]  # the first, and the newest
            if not wild:
                self.assertNotIn(answer[0], (400, 401, 403, 413, 415), f"{what}\n{answer[2]}")
                if operation.name not in JUDGED:
                    self.assertNotEqual(answer[0], 422, f"{what}\n{answer[2]}")
            elif media == JSON and value is not None and not self.validator(operation.body[JSON]).is_valid(value):
                self.assertGreaterEqual(answer[0], 400, f"not valid, and taken: {what}\n{answer[2]}")
        self.assertGreater(seen[200], count / 20, seen)
        self.assertEqual({o.name for o in self.operations} - worked, set(), "never answered with success")
        print(f"{count} requests: " + ", ".join(f"{n} x {status}" for status, n in sorted(seen.items())), file=sys.stderr)

    def wreck(self, operation, maker):
        """A target that is none, or another's: refused, and said so in the envelope."""
        target = self.target(operation, maker, True) + maker.random.choice(
            ["?%zz", "&a=%ff", "?%00=1", "/", "//", "/%2e%2e", "%", "%00", "/x" * 3000, "?x=" + "y" * 9000])
        status, _, answer = self.ask(operation.method, target, headers=self.headers(operation, maker, True))
        self.assertLess(status, 500, f"{target}\n{answer}")
        if status >= 400:
            self.check_schema({"$ref": "#/components/schemas/Error"}, answer)

    def test_the_server_keeps_to_its_description(self):
        self.fuzz("assay.db")

    def test_the_server_keeps_to_its_description_on_postgresql(self):
        if postgres.programs() is None:
            self.skipTest("PostgreSQL's server is not installed")
        database = postgres.Postgres()
        self.addCleanup(database.stop)
        self.fuzz(database.address())

    def test_the_schemas_take_what_the_server_takes(self):
        self.begin("assay.db")
        self.furnish()
        schemas = {o.path: o.body[JSON] for o in self.operations if o.method == "POST" and o.body}
        side = {"type": "dataset", "dataset": "rows"}
        run = {"container": "app", "evaluators": ["one"], "sample": side, "ground_truth": side}
        code = {"type": "code", "code": "return 1", "language": "lua"}
        log = {"input": {"messages": []}}
        worker = {"name": "n", "boot_id": "b", "sandbox": "full", "protocol": 1}
        examples = [
            ("/containers", [{"label": "a"}, {"label": "b", "metadata": None}, {"label": "é" * 256}, {"label": "c", "metadata": {"x": []}}],
             [{}, {"label": ""}, {"label": "x" * 257}, {"label": "a\tb"}, {"label": 1}, {"label": None}, {"label": "d", "metadata": []},
              {"label": "e", "more": 1}, [], "label", None]),
            ("/chat/completions/register", [{"container": "app", "items": [log]}, {"container": "app", "items": []},
                                            {"container": "app", "items": [{**log, "output": {"choices": [1], "id": "x"}}]}],
             [{"container": "app"}, {"container": "app", "items": [{}]}, {"container": "app", "items": [{"input": {}}]},
              {"container": "app", "items": [{**log, "output": {}}]}, {"container": "app", "items": [{**log, "id": 1}]},
              {"container": "app", "items": [log] * 1001}]),
            ("/evaluators", [{**code, "name": "a"}, {**code, "name": "b", "pass_threshold": 0.5, "limits": {"wall_ms": 5.0}},
                             {**code, "name": "c", "model": None, "description": "a\nb"}],
             [{**code, "name": "d", "limits": {"wall_ms": 0}}, {**code, "name": "d", "model": "m"}, {**code, "name": "d", "type": "no"},
              {**code, "name": "d", "description": "a\0b"}, {**code, "name": "d", "code": ""}, {**code, "name": "d", "mode": 1}]),
            ("/evaluation/runs", [run, {**run, "trials": 100, "labels": ["x"]}, {**run, "source_run": None},
                                  {**run, "sample": {**side, "columns": {}, "join": None, "limit": 5}}],
             [{**run, "trials": 0}, {**run, "trials": 1.5}, {**run, "evaluators": []}, {**run, "source_run": "x"},
              {**run, "sample": {"type": "dataset"}}, {**run, "sample": {**side, "since": "2026-01-01"}},
              {**run, "sample": None, "ground_truth": None}, {**run, "priority": 101}, {"evaluators": ["one"]},
              {**run, "sample": {"type": "container", "since": "yesterday"}}, {**run, "sample": {"type": "container", "until": "2026-1-1"}}]),
            ("/workers", [worker, {**worker, "slots": None, "labels": ["a", "é"]}],
             [{**worker, "slots": 0}, {**worker, "labels": ["a\nb"]}, {**worker, "labels": [1]}, {**worker, "protocol": "1"},
              {**worker, "environments": ["x"] * 257}, {**worker, "protocol": 2**31}]),
        ]
        for path, right, wrong in examples:
            key = self.keys["worker" if path == "/workers" else "admin"]
            for expected, bodies in ((True, right), (False, wrong)):
                for body in bodies:
                    status, answer = self.call("POST", "/v1" + path, body, key=key) if body is not None else (422, None)
                    self.assertEqual((status == 200, self.validator(schemas[path]).is_valid(body)), (expected, expected),
                                     f"{path} {body}\n{answer}")

    def test_every_route_is_described(self):
        self.begin("assay.db")
        self.assertEqual(self.document["openapi"], "3.1.0")
        for prefix in ("/v1", "/api/v1", ""):
            self.assertEqual(self.ask("GET", prefix + "/openapi.json")[2], self.document)
        for schema in self.document["components"]["schemas"].values():
            jsonschema.Draft202012Validator.check_schema(schema)
        names = [o.name for o in self.operations]
        self.assertEqual(len(names), len(set(names)))
        for operation in self.operations:
            self.assertEqual(re.findall(r"{(\w+)}", operation.path),
                             [p["name"] for p in operation.parameters if p["in"] == "path"], operation.name)
            for schema in operation.body.values():
                jsonschema.Draft202012Validator.check_schema(schema)
        # What is served is what the sources say, and 405 tells the methods of a path.
        methods = collections.defaultdict(set)
        for operation in self.operations:
            methods[operation.path].add(operation.method)
        for path, known in methods.items():
            target = "/v1" + re.sub(r"{\w+}", "0", path)
            for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - known:
                status, headers, answer = self.ask(method, target)
                self.assertEqual(status, 405, f"{method} {target}")
                self.assertEqual(set(headers["Allow"].split(", ")), known)
                self.check_schema({"$ref": "#/components/schemas/Error"}, answer)


if __name__ == "__main__":
    main()
