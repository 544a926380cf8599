"""`assay evaluators new` and `test`: how authors work."""
import json
import os
import pty
import signal
import subprocess

from harness import BIN, Case, main, wait_until

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

    def test_the_items_beside_an_evaluator_are_taken_when_none_are_given(self):
        path = self.write("double.lua", DOUBLE)
        self.write("double.items.jsonl", '{"sample": "1"}\n{"sample": "2"}\n')
        self.assertEqual([outcome["score"] for outcome in self.outcomes(path)], [2, 4])
        self.assertEqual([outcome["score"] for outcome in self.outcomes(path, "--item", '{"sample": "5"}')], [10])


class New(Case):
    SCORES = {"lua": [1, 0], "python": [1, 0], "node": [1, 0], "shell": [1, 1]}
    FILES = {"lua": "mine.lua", "python": "mine.py", "node": "mine.mjs", "shell": "mine.sh"}

    def test_what_is_written_works_in_every_language(self):
        for language, scores in self.SCORES.items():
            with self.subTest(language=language):
                out, err = self.assay("evaluators", "new", "--language", language, "mine", "--into", language)
                file, items = out.split()
                self.assertEqual((file, items), (f"{language}/{self.FILES[language]}", f"{language}/mine.items.jsonl"))
                self.assertIn(f"assay evaluators test {file}", err)
                out, _ = self.assay("evaluators", "test", file, "--json")
                self.assertEqual([json.loads(line)["score"] for line in out.splitlines()], scores)

    def test_nothing_is_overwritten(self):
        self.assay("evaluators", "new", "--language", "lua", "mine")
        before = (self.folder / "mine.lua").read_text()
        (self.folder / "mine.lua").write_text("-- work")
        _, err = self.assay("evaluators", "new", "--language", "lua", "mine", code=2)
        self.assertIn("mine.lua is there already", err)
        self.assertEqual((self.folder / "mine.lua").read_text(), "-- work")
        # The items alone are in the way too, and then no evaluator is written either.
        _, err = self.assay("evaluators", "new", "--language", "python", "mine", code=2)
        self.assertIn("mine.items.jsonl is there already", err)
        self.assertFalse((self.folder / "mine.py").exists())
        (self.folder / "link.lua").symlink_to("nowhere")
        self.assay("evaluators", "new", "--language", "lua", "link", code=2)
        self.assertFalse((self.folder / "nowhere").exists())
        self.assertNotIn("@NAME@", before)

    def test_bad_names_and_languages_are_refused(self):
        for arguments, words in [(("--language", "lua", "../out"), "../out"), (("--language", "lua", "a b"), "a b"),
                                 (("--language", "lua", "1st"), "1st"), (("--language", "cobol", "mine"), "cobol"),
                                 (("mine",), "--language"), (("--language", "lua", "mine", "--into", "/proc/none"), "/proc/none")]:
            with self.subTest(words=words):
                out, err = self.assay("evaluators", "new", *arguments, code=2)
                self.assertIn(words, out + err)
        self.assertEqual(list(self.folder.iterdir()), [])


class Watch(Case):
    def watch(self, *arguments, **keywords):
        program = self.start(BIN / "assay", "evaluators", "test", *arguments, "--watch", cwd=self.folder, **keywords)
        return program

    def shows(self, program, text, times=1):
        wait_until(lambda: program.output().count(text) >= times or program.process.poll() is not None, f"{text} {times} times")
        self.assertIsNone(program.process.poll(), program.output())

    def test_it_runs_again_however_the_file_is_saved(self):
        path = self.write("double.lua", DOUBLE)
        program = self.watch("double.lua", "--item", '{"sample": "21"}')
        self.shows(program, "watching", 1)
        self.assertIn("score 42", program.output())
        path.write_text(DOUBLE.replace("* 2", "* 3"))  # in place
        self.shows(program, "score 63")
        self.shows(program, "watching", 2)
        self.write("new", DOUBLE.replace("* 2", "* 4")).rename(path)  # as editors do
        self.shows(program, "score 84")
        self.shows(program, "watching", 3)
        path.write_text("function (")  # it does not compile
        self.shows(program, "double:1")
        self.shows(program, "watching", 4)
        path.unlink()
        path.write_text(DOUBLE.replace("* 2", "* 5"))
        self.shows(program, "score 105")
        self.write("another.lua", "x")  # is not watched
        self.assertNotIn("\033", program.output())  # no terminal, no commands for one
        program.signal(signal.SIGINT)
        self.assertEqual(program.wait(), 0)

    def test_items_beside_it_are_watched_too(self):
        self.write("double.lua", DOUBLE)
        items = self.write("double.items.jsonl", '{"sample": "1"}\n')
        program = self.watch("double.lua")
        self.shows(program, "watching")
        items.write_text('{"sample": "50"}\n')
        self.shows(program, "score 100")
        program.signal(signal.SIGTERM)
        self.assertEqual(program.wait(), 0)

    def test_a_signal_ends_an_item_under_way(self):
        self.write("loop.lua", 'function run_evaluation(item) while true do end end')
        program = self.watch("loop.lua", "--wall", "10m")
        wait_until(lambda: subprocess.run(["pgrep", "-P", str(program.process.pid)], capture_output=True).stdout, "it has a sandbox")
        program.signal(signal.SIGINT)
        self.assertEqual(program.wait(30), 0)

    def test_many_saves_at_once_are_one_run(self):
        path = self.write("double.lua", DOUBLE)
        program = self.watch("double.lua", "--item", '{"sample": "1"}')
        self.shows(program, "watching")
        for factor in range(3, 13):
            path.write_text(DOUBLE.replace("* 2", f"* {factor}"))
        self.shows(program, "score 12")
        self.shows(program, "watching", 2)
        self.assertLess(program.output().count("watching"), 6)
        program.signal(signal.SIGINT)
        self.assertEqual(program.wait(), 0)

    def test_the_screen_of_a_terminal_is_cleared(self):
        self.write("double.lua", DOUBLE)
        ours, theirs = pty.openpty()
        process = subprocess.Popen([str(BIN / "assay"), "evaluators", "test", "double.lua", "--item", '{"sample": "1"}', "--watch"],
                                   cwd=self.folder, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.addCleanup(process.kill)
        shown = b""
        while b"watching" not in shown:
            shown += os.read(ours, 4096)
        self.assertTrue(shown.startswith(b"\033[H\033[2J"), shown)
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(30), 0)
        os.close(ours)


if __name__ == "__main__":
    main()
