"""`assay evaluators test`: how authors work."""
import json

from harness import Case, main

DOUBLE = """
function run_evaluation(item)
  assay.log("saw " .. tostring(item.sample.text))
  return {score = tonumber(item.sample.text) * 2, reason = "doubled", metrics = {length = #item.sample.text}}
end
"""


class Evaluators(Case):
    def outcomes(self, *arguments, code=0):
        out, _ = self.assay("evaluators", "test", *arguments, "--json", code=code)
        return [json.loads(line) for line in out.splitlines()]

    def test_one_item(self):
        path = self.write("double.lua", DOUBLE)
        (outcome,) = self.outcomes(path, "--item", '{"sample": "21"}')
        self.assertEqual((outcome["score"], outcome["reason"], outcome["metrics"]), (42, "doubled", {"length": 2}))
        self.assertIn("saw 21", outcome["log"])
        self.assertGreater(outcome["usage"]["memory_bytes"], 0)
        self.assertGreater(outcome["usage"]["wall_us"], 0)

    def test_an_item_that_errs_is_exit_one_and_the_next_is_right(self):
        path = self.write("double.lua", DOUBLE)
        items = self.write("items.jsonl", '{"sample": "x"}\n{"sample": {"output": "4"}}\n')
        first, second = self.outcomes(path, "--items", items, code=1)
        self.assertEqual(first["error"]["kind"], "evaluator_error")
        self.assertIn("double:4", first["error"]["message"])
        self.assertEqual(second["score"], 8)

    def test_people_read_a_line_an_item(self):
        out, _ = self.assay("evaluators", "test", self.write("double.lua", DOUBLE), "--item", '{"sample": "21"}')
        for word in ("score 42", "doubled", "length = 2", "saw 21", "wall", "cpu", "memory"):
            self.assertIn(word, out)

    def test_bad_input_is_named(self):
        path = self.write("double.lua", DOUBLE)
        for arguments, words in [((path, "--item", "{"), "item 0"), ((path, "--item", '{"smaple": 1}'), "smaple"),
                                 ((self.folder / "none.lua",), "none.lua"),
                                 ((self.write("bad.lua", "function ("),), "bad:1"),
                                 ((self.write("bad.rb", "x"),), ".lua"),
                                 ((path, "--params", "[]"), "--params")]:
            with self.subTest(words=words):
                _, err = self.assay("evaluators", "test", *arguments, code=2)
                self.assertIn(words, err)

    def test_an_endless_loop_ends_at_its_limit(self):
        path = self.write("loop.lua", "function run_evaluation(item) while true do end end")
        (outcome,) = self.outcomes(path, "--wall", "200ms", code=1)
        self.assertEqual(outcome["error"]["kind"], "timeout")


if __name__ == "__main__":
    main()
