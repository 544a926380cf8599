"""`assay mock-llm`: a stand-in for a model's endpoint."""
import concurrent.futures
import http.client
import json
import math
import os
import re
import signal
import socket
import time

from harness import BIN, DEADLINE, Case, main, wait_until

TRUTH = {"type": "object", "properties": {"reason": {"type": "string"},
                                          "verdict_k3y": {"type": "string", "enum": ["TRUE", "FALSE"]}},
         "required": ["reason", "verdict_k3y"], "additionalProperties": False}


def asked(text, **more):
    return {"model": "mock", "messages": [{"role": "system", "content": "You judge."}, {"role": "user", "content": text}],
            **more}


def by_schema(schema):
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}}


def fenced(*texts):
    return "Compare.\n" + "\n\n".join(f'<judged-abc field="f{i}">\n{text}\n</judged-abc>' for i, text in enumerate(texts))


class MockLlm(Case):
    def mock(self, rules="", *arguments):
        if rules:
            arguments += ("--rules", self.write("rules.toml", rules))
        self.program = self.start(BIN / "assay", "mock-llm", "--listen", "127.0.0.1:0", *arguments)
        found = wait_until(lambda: re.search(r"answers at http://([\d.]+):(\d+)/v1", self.program.output()), "it listens")
        self.address = (found.group(1), int(found.group(2)))

    def ask(self, body, path="/v1/chat/completions", method="POST", key="", headers=None):
        """(status, headers, parsed body)"""
        connection = http.client.HTTPConnection(*self.address, timeout=DEADLINE)
        try:
            headers = dict(headers or {}, **({"Authorization": f"Bearer {key}"} if key else {}))
            connection.request(method, path, body if isinstance(body, (str, bytes)) or body is None else json.dumps(body),
                               headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, answer.headers, json.loads(text) if "json" in answer.headers["content-type"] else text
        finally:
            connection.close()

    def say(self, body, **keywords):
        """What the mock says, of a chat completion."""
        status, _, answer = self.ask(body, **keywords)
        self.assertEqual(status, 200, answer)
        return answer["choices"][0]["message"]["content"]

    def stats(self):
        return self.ask(None, "/mock/stats", "GET")[2]

    def test_it_is_called_a_mock_wherever_it_shows(self):
        self.mock()
        _, headers, answer = self.ask(asked("hello", model="gpt-5"))
        self.assertEqual(headers["server"], "assay-mock-llm")
        self.assertEqual(answer["system_fingerprint"], "assay-mock-llm")
        for shown in (answer["id"], answer["model"], answer["choices"][0]["message"]["content"]):
            self.assertIn("mock", shown)
        (model,) = self.ask(None, "/v1/models", "GET")[2]["data"]
        self.assertEqual((model["id"], model["owned_by"]), ("mock", "assay-mock-llm"))
        self.assertIn("a mock", self.ask(None, "/", "GET")[2])
        self.assertIn("mock", self.ask(None, "/nothing", "GET")[2]["error"]["message"])
        self.assertIn("A mock, not a model", self.program.output())
        self.assertIn("there is no model here", self.program.output())

    def test_rules_answer_in_their_order(self):
        self.mock("""
            [[rule]]
            match = 'capital of (\\w+)'
            text = '{{1}}: Paris, says {{ model }} to "{{message}}" {{count}}'
            [[rule]]
            model = "^mock-large$"
            text = "large"
            [[rule]]
            text = "anything"
        """)
        self.assertEqual(self.say(asked("the capital of France?")),
                         'France: Paris, says mock to "the capital of France?" 1')
        self.assertEqual(self.say(asked("what?", model="mock-large")), "large")
        self.assertEqual(self.say(asked([{"type": "text", "text": "a {{"}, {"type": "text", "text": "capital of x"}])),
                         'x: Paris, says mock to "a {{capital of x" 3')
        self.assertEqual([rule["answered"] for rule in self.stats()["rules"]], [2, 1, 0])

    def test_verdicts_fit_whatever_schema_is_asked_for(self):
        self.mock('[[rule]]\nmatch = "five"\nverdict = 4.5\n[[rule]]\nmatch = "label"\nverdict = "PARTIAL"\n'
                  '[[rule]]\nmatch = "yes"\nverdict = true\n[[rule]]\nmatch = "within"\nverdict = "contains"\n')
        menu = {"type": "object", "properties": {"v": {"enum": ["correct", "partial", "incorrect"]}}}
        number = {"type": "object", "properties": {"z": {"type": "string"}, "v": {"type": "number", "minimum": 1, "maximum": 5}}}
        deep = {"$defs": {"step": {"type": "object", "properties": {"ok": {"type": "boolean"}, "note": {"type": ["null", "string"]}}}},
                "type": "object", "properties": {"steps": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/step"}},
                                                 "level": {"type": "integer", "exclusiveMinimum": 3},
                                                 "kind": {"const": 7}, "or": {"anyOf": [{"type": "null"}, {"enum": [1, 2]}]}}}
        for text, schema, expected in [
                (fenced("who?", "Paris", " paris "), TRUTH, {"verdict_k3y": "TRUE"}),
                (fenced("Paris", "Paris", "Rome"), TRUTH, {"verdict_k3y": "FALSE"}),
                (fenced("Rome", "within the walls of Rome"), TRUTH, {"verdict_k3y": "TRUE"}),
                (fenced("", ""), TRUTH, {"verdict_k3y": "TRUE"}),
                ("nothing is fenced here", TRUTH, {"verdict_k3y": "FALSE"}),
                (fenced("a", "b"), menu, {"v": "incorrect"}), (fenced("a", "A"), menu, {"v": "correct"}),
                ("label", menu, {"v": "partial"}), ("five", number, {"v": 4.5}),
                ("five", menu, {"v": 4.5}),  # off the menu, as the rule wants it
                ("yes", number, {"v": 5}), (fenced("a", "b"), number, {"v": 1}),
                ("yes", deep, {"level": 4, "kind": 7, "or": 1})]:
            with self.subTest(text=text, schema=schema):
                said = self.say(asked(text, **by_schema(schema)))
                answer = json.loads(said)
                self.assertEqual({key: answer[key] for key in expected}, expected)
                self.assertEqual(list(answer), list(schema["properties"]), "in the schema's order")
        steps = json.loads(self.say(asked("yes", **by_schema(deep))))["steps"]
        self.assertEqual([step["ok"] for step in steps], [True, True])
        self.assertIn("mock", steps[0]["note"])

    def test_verdicts_without_a_schema(self):
        self.mock('[[rule]]\nmatch = "TRUE or FALSE"\nverdict = true\n[[rule]]\nverdict = "equal"\nreason = "of {{message}}"')
        self.assertEqual(self.say(asked("TRUE or FALSE?")), "TRUE")
        text = 'Answer {"reason": "...", "verdict_9f": ...}\n' + fenced("a", "a")
        self.assertEqual(json.loads(self.say(asked(text))), {"reason": "of " + text, "verdict_9f": "TRUE"})
        answer = self.say(asked("as JSON", response_format={"type": "json_object"}))
        self.assertEqual(json.loads(answer), {"reason": "of as JSON", "verdict": "FALSE"})

    def test_a_schema_that_refers_to_itself_ends(self):
        self.mock()
        node = {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}, "c": {"type": "array", "items": {"$ref": "#"}}}}
        json.loads(self.say(asked("x", **by_schema(node))))
        json.loads(self.say(asked("x", **by_schema({"$ref": "#"}))))

    def test_odd_schemas_get_some_json(self):
        self.mock()
        for schema in [{}, {"enum": []}, {"enum": "x"}, {"enum": [{"a": 1}, None, True]}, {"type": "array", "items": {}, "minItems": 10**9},
                       {"type": "object", "properties": []}, {"type": 7}, {"type": ["null"]}, {"$ref": "#/nowhere"}, {"$ref": 3},
                       {"anyOf": []}, {"type": "string", "minLength": 10**12, "maxLength": 0}, {"type": "number", "minimum": "x"},
                       {"type": "integer", "minimum": 10, "maximum": 3}, {"type": "object", "properties": {"": {"const": "\u0000"}}}]:
            with self.subTest(schema=schema):
                json.loads(self.say(asked("x", **by_schema(schema))))

    def test_forced_tools(self):
        self.mock()
        tools = [{"type": "function", "function": {"name": "other", "parameters": {}}},
                 {"type": "function", "function": {"name": "grade", "parameters": TRUTH}}]
        body = asked(fenced("a", "a"), tools=tools)
        choice = {"type": "function", "function": {"name": "grade"}}
        message = self.ask({**body, "tool_choice": choice})[2]["choices"][0]["message"]
        self.assertIsNone(message["content"])
        (call,) = message["tool_calls"]
        self.assertEqual((call["function"]["name"], json.loads(call["function"]["arguments"])["verdict_k3y"]), ("grade", "TRUE"))
        self.assertIn("mock", self.say({**body, "tool_choice": "auto"}))

    def test_errors_come_every_so_often_or_so_many_times(self):
        self.mock("""
            [[rule]]
            name = "down"
            times = 2
            status = 503
            headers = { retry-after = "0", "x-should-retry" = "true" }
            [[rule]]
            every = 3
            status = 429
            body = '{"error":{"code":"insufficient_quota"}}'
            [[rule]]
            match = "twist"
            body = '{"error":{"message":"a proxy speaks"}}'
            [[rule]]
            text = "fine"
        """)
        answers = [self.ask(asked("x")) for _ in range(8)]
        self.assertEqual([status for status, _, _ in answers], [503, 503, 200, 200, 429, 200, 200, 429])
        self.assertEqual((answers[0][1]["retry-after"], answers[0][1]["x-should-retry"]), ("0", "true"))
        self.assertIn('"down"', answers[0][2]["error"]["message"])
        self.assertEqual(answers[4][2]["error"]["code"], "insufficient_quota")
        status, _, body = self.ask(asked("twist"))
        self.assertEqual((status, body["error"]["message"]), (200, "a proxy speaks"))

    def test_refusal_truncation_and_usage(self):
        self.mock("""
            [[rule]]
            match = "bomb"
            refusal = "I cannot help with that."
            [[rule]]
            match = "long"
            text = "one two three four"
            truncate = 2
            usage = { input = 1000, output = 20, cached = 600, reasoning = 15 }
            [[rule]]
            match = "filter"
            text = ""
            finish = "content_filter"
            usage = false
            [[rule]]
            text = "one two three four"
        """)
        choice = self.ask(asked("bomb"))[2]["choices"][0]
        self.assertEqual((choice["message"]["content"], choice["message"]["refusal"]), (None, "I cannot help with that."))
        answer = self.ask(asked("long"))[2]
        self.assertEqual((answer["choices"][0]["message"]["content"], answer["choices"][0]["finish_reason"]), ("one two", "length"))
        self.assertEqual(answer["usage"], {"prompt_tokens": 1000, "completion_tokens": 20, "total_tokens": 1020,
                                           "prompt_tokens_details": {"cached_tokens": 600},
                                           "completion_tokens_details": {"reasoning_tokens": 15}})
        answer = self.ask(asked("filter"))[2]
        self.assertEqual(answer["choices"][0]["finish_reason"], "content_filter")
        self.assertNotIn("usage", answer)
        answer = self.ask(asked("x", max_completion_tokens=3))[2]
        self.assertEqual((answer["choices"][0]["finish_reason"], answer["usage"]["completion_tokens"]), ("length", 3))
        answer = self.ask(asked("x", max_tokens=100))[2]
        self.assertEqual(answer["choices"][0]["finish_reason"], "stop")

    def test_log_probabilities_of_the_verdict(self):
        self.mock('[[rule]]\nverdict = 4\nprobabilities = { "4" = 0.62, "5" = 0.25, "3" = 0.1 }')
        number = {"type": "object", "properties": {"reason": {"type": "string"}, "v": {"type": "integer"}}}
        answer = self.ask(asked("x", logprobs=True, top_logprobs=3, **by_schema(number)))[2]["choices"][0]
        tokens = answer["logprobs"]["content"]
        self.assertEqual("".join(token["token"] for token in tokens), answer["message"]["content"])
        (verdict,) = [token for token in tokens if token["token"] == "4"]
        tops = {top["token"]: math.exp(top["logprob"]) for top in verdict["top_logprobs"]}
        self.assertEqual(list(tops), ["4", "5", "3"])
        self.assertAlmostEqual(sum(int(token) * p for token, p in tops.items()) / sum(tops.values()), 4.03 / 0.97)
        self.assertIsNone(self.ask(asked("x", **by_schema(number)))[2]["choices"][0]["logprobs"])

    def test_responses_and_messages(self):
        self.mock('[[rule]]\nmatch = "cut"\ntext = "one two three"\ntruncate = 1\nusage = { input = 10, output = 1, cached = 4 }\n'
                  '[[rule]]\nmatch = "no"\nrefusal = "never"\n')
        answer = self.ask({"model": "mock", "input": fenced("a", "a"), "text": {"format": {"type": "json_schema", "name": "x", "schema": TRUTH}}},
                          "/v1/responses")[2]
        self.assertEqual(json.loads(answer["output"][0]["content"][0]["text"])["verdict_k3y"], "TRUE")
        self.assertEqual(answer["status"], "completed")
        answer = self.ask({"model": "mock", "input": [{"role": "user", "content": "cut"}]}, "/v1/responses")[2]
        self.assertEqual((answer["status"], answer["incomplete_details"]["reason"], answer["usage"]["input_tokens"]),
                         ("incomplete", "max_output_tokens", 10))
        say = {"model": "mock", "max_tokens": 100, "messages": [{"role": "user", "content": fenced("a", "b")}]}
        answer = self.ask({**say, "tools": [{"name": "grade", "input_schema": TRUTH}],
                           "tool_choice": {"type": "tool", "name": "grade"}}, "/v1/messages", headers={"x-api-key": "k"})[2]
        self.assertEqual((answer["content"][0]["input"]["verdict_k3y"], answer["stop_reason"]), ("FALSE", "tool_use"))
        answer = self.ask({**say, "messages": [{"role": "user", "content": [{"type": "text", "text": "cut"}]}]}, "/v1/messages")[2]
        self.assertEqual((answer["stop_reason"], answer["usage"]["input_tokens"], answer["usage"]["cache_read_input_tokens"]),
                         ("max_tokens", 6, 4))
        answer = self.ask({**say, "messages": [{"role": "user", "content": "no"}]}, "/v1/messages")[2]
        self.assertEqual((answer["stop_reason"], answer["content"][0]["text"]), ("refusal", "never"))
        self.assertEqual(self.ask("{", "/v1/messages")[2]["type"], "error")

    def test_delays(self):
        self.mock('latency = "300ms"\n[[rule]]\nmatch = "quick"\nlatency = "0ms"\n'
                  '[[rule]]\nmatch = "varied"\nlatency = { mean = "20ms", p99 = "60ms" }\n')
        began = time.monotonic()
        self.say(asked("slow"))
        self.assertGreaterEqual(time.monotonic() - began, 0.3)
        with concurrent.futures.ThreadPoolExecutor(50) as threads:  # at once, not one after another
            began = time.monotonic()
            list(threads.map(lambda _: self.say(asked("slow")), range(50)))
            self.assertLess(time.monotonic() - began, 50 * 0.3 / 2)
        times = []
        for _ in range(30):
            began = time.monotonic()
            self.say(asked("varied"))
            times.append(time.monotonic() - began)
        self.assertGreater(max(times), 1.5 * min(times))
        self.assertGreater(self.stats()["most_in_flight"], 1)

    def test_limits_are_kept_and_can_be_changed(self):
        self.mock('[limits]\nrequests_per_minute = 600\nburst = "500ms"\n[[rule]]\ntext = "fine"\nusage = { input = 90, output = 10 }')
        answers = [self.ask(asked(f"x{i}"), key="sk-secret-of-a-friend") for i in range(7)]
        statuses = [status for status, _, _ in answers]
        self.assertEqual(statuses[:5], [200] * 5)
        self.assertEqual(answers[0][1]["x-ratelimit-limit-requests"], "600")
        self.assertEqual(answers[0][1]["x-ratelimit-remaining-requests"], "4")
        self.assertRegex(answers[0][1]["x-ratelimit-reset-requests"], r"^\d+ms$")
        refused = next(answer for answer in answers if answer[0] == 429)
        self.assertEqual((refused[2]["error"]["type"], refused[2]["error"]["code"]), ("requests", "rate_limit_exceeded"))
        self.assertEqual(refused[1]["retry-after"], "1")
        self.assertLessEqual(int(refused[1]["retry-after-ms"]), 100)
        time.sleep(int(refused[1]["retry-after-ms"]) / 1000)
        self.say(asked("x5"), key="sk-secret-of-a-friend")
        self.say(asked("x5"), key="another")  # has an account of its own
        stats = self.stats()
        self.assertEqual([(k["key"], k["requests"]) for k in stats["keys"]], [("…ther", 1), ("…iend", 8)])
        self.assertEqual((stats["rate_limited"], stats["early_retries"]), (statuses.count(429), 0))
        self.assertNotIn("secret", json.dumps(stats) + self.program.output())
        # Tokens, from now on.
        limits = self.ask({"requests_per_minute": None, "tokens_per_minute": 60000, "burst": "1s"}, "/mock/limits")[2]
        self.assertEqual(limits, {"requests_per_minute": None, "tokens_per_minute": 60000, "burst": "1000ms"})
        answers = [self.ask(asked(f"y{i}"), key="third") for i in range(11)]
        self.assertEqual([status for status, _, _ in answers[:10]], [200] * 10)
        self.assertEqual(answers[0][1]["x-ratelimit-remaining-tokens"], "900")
        self.ask({"tokens_per_minute": 60}, "/mock/limits")
        status, headers, body = self.ask(asked("z"), key="fourth")
        self.assertEqual((status, headers["retry-after"]), (429, None), "no waiting helps")
        self.assertIn("too large", body["error"]["message"])
        for wrong, word in [({"requests": 1}, "requests"), ({"burst": 1}, "burst"), ({"tokens_per_minute": 0}, "1 to"), ([], "object")]:
            status, _, body = self.ask(wrong, "/mock/limits")
            self.assertEqual(status, 400)
            self.assertIn(word, body["error"]["message"])

    def test_impatience_is_counted(self):
        self.mock('[limits]\nrequests_per_minute = 1\nburst = "1s"')
        self.say(asked("first"))
        self.assertEqual(self.ask(asked("again"))[0], 429)
        time.sleep(0.05)
        self.assertEqual(self.ask(asked("again"))[0], 429)
        self.assertEqual(self.ask(asked("another"))[0], 429)
        stats = self.stats()
        self.assertEqual(stats["early_retries"], 1)
        self.assertGreaterEqual(stats["during_wait"], 1)

    def test_keys_and_models_that_are_not_let_in(self):
        self.mock('keys = ["good"]\nmodels = ["mock-small"]\nstructured_output = ["json_object"]')
        status, _, body = self.ask(asked("x"), key="sk-wrong")
        self.assertEqual((status, body["error"]["code"]), (401, "invalid_api_key"))
        self.assertNotIn("sk-wrong", json.dumps(body))
        status, _, body = self.ask(asked("x"), key="good")
        self.assertEqual((status, body["error"]["code"]), (404, "model_not_found"))
        status, _, body = self.ask(asked("x", model="mock-small", **by_schema(TRUTH)), key="good")
        self.assertEqual((status, body["error"]["param"]), (400, "response_format"))
        self.say(asked("x", model="mock-small"), key="good")

    def test_bad_requests_are_told_what_is_wrong(self):
        self.mock()
        for body, words in [("", "no JSON"), ("[]", "object"), ("{}", "model"), ({"model": "mock"}, "messages"),
                            (asked("x", stream=True), "stream"), ("[" * 1000, "no JSON"),
                            ({"model": "mock", "messages": [], "n": 1}, "messages"),
                            (asked("x", response_format={"type": "json_schema", "json_schema": {}}), "schema")]:
            with self.subTest(body=str(body)[:60]):
                status, _, answer = self.ask(body)
                self.assertEqual(status, 400)
                self.assertIn(words, answer["error"]["message"])

    def test_broken_clients_do_not_hold_it_up(self):
        self.mock()
        with socket.create_connection(self.address) as half:
            half.sendall(b"POST /v1/chat/completions HTTP/1.1\r\n")
            self.say(asked("x"))
        with socket.create_connection(self.address) as noise:
            noise.settimeout(DEADLINE)
            noise.sendall(b"\x16\x03\x01 what\r\n\r\n")
            self.assertIn(b"400", noise.recv(4096))
        with socket.create_connection(self.address) as large:
            large.settimeout(DEADLINE)
            large.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n")
            self.assertIn(b"413", large.recv(4096))
        with socket.create_connection(self.address) as pipeline:
            pipeline.settimeout(DEADLINE)
            pipeline.sendall(b"GET /v1/models HTTP/1.1\r\n\r\n" * 3)
            received = b""
            while received.count(b"owned_by") < 3:
                piece = pipeline.recv(4096)
                self.assertTrue(piece, received)
                received += piece
        with socket.create_connection(self.address) as head:
            head.settimeout(DEADLINE)
            head.sendall(b"HEAD / HTTP/1.1\r\n\r\n")
            self.assertIn(b"404", head.makefile("rb").read())  # to its end: the connection is closed behind it
        with socket.create_connection(self.address) as asking:
            asking.settimeout(DEADLINE)
            body = json.dumps(asked("x")).encode()
            asking.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body))
            self.assertIn(b"100 Continue", asking.recv(4096))
            asking.sendall(body)
            self.assertIn(b"200 OK", asking.recv(4096))
        self.say(asked("x"))

    def test_signals_end_it_with_answers_under_way(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self.mock("", "--latency", "10m")
            with socket.create_connection(self.address) as waiting:
                body = json.dumps(asked("x")).encode()
                waiting.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                wait_until(lambda: self.stats()["in_flight"] == 1, "it has the request")
                self.program.signal(number)
                self.assertEqual(self.program.wait(), 0)

    def test_faults_of_the_rules_are_named_with_their_lines(self):
        text = """models = ["gpt-5"]
[[rule]]
match = "("
[[rule]]
text = "{{nobody}}"
verdict = true
[[rule]]
latency = { mean = "1s", p99 = "1m" }
[[rule]]
texd = "x"
[[rule]]
text = "{{1}}"
[limits]
requests_per_minute = 0
"""
        _, err = self.assay("mock-llm", "--rules", self.write("rules.toml", text), code=2)
        for words in ("rules.toml:1: ", "rules.toml:3: match of rule 1", "rules.toml:5: text of rule 2", "{{nobody}}",
                      "rules.toml:6: give text or verdict", "rules.toml:8: ", "14 times", "rules.toml:10: unknown key texd",
                      "rules.toml:12: text of rule 5", "rules.toml:14: limits.requests_per_minute"):
            self.assertIn(words, err)
        self.assertIn("none.toml", self.assay("mock-llm", "--rules", "none.toml", code=2)[1])
        self.assertIn("--latency", self.assay("mock-llm", "--latency", "soon", code=2)[1])


if __name__ == "__main__":
    main()
