"""`cmake --install` puts everything where a distribution would, and it works from there."""
import os
import shutil
import subprocess

from harness import Case, main


class Install(Case):
    def test_installed_programs_find_each_other(self):
        root = self.folder / "root"
        subprocess.run(["cmake", "--install", os.environ["ASSAY_BUILD"], "--prefix", root], check=True,
                       capture_output=True)
        for name, source in (("one.lua", "function run_evaluation(item) return 1 end"),
                             ("one.py", "def run_evaluation(item): return 1")):
            done = subprocess.run([root / "bin/assay", "evaluators", "test", self.write(name, source)],
                                  capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("score 1", done.stdout)
        for path in ("bin/assayd", "libexec/assay/assay-spawner", "libexec/assay/assay-lua-host",
                     "lib/sysusers.d/assay.conf", "share/assay/examples/quickstart/quickstart.toml",
                     "share/assay/assayd.toml"):
            self.assertTrue((root / path).exists(), path)
        plugins = {path.name for path in root.glob("lib*/**/assay/plugins/*.so")}
        self.assertEqual(plugins, {"text.so", "json.so", "judge.so"})

    def test_the_units_are_right(self):
        if shutil.which("systemd-analyze") is None:
            self.skipTest("systemd-analyze is not installed")
        root = self.folder / "root"
        subprocess.run(["cmake", "--install", os.environ["ASSAY_BUILD"], "--prefix", root], check=True,
                       capture_output=True)
        for unit in root.rglob("*.service"):
            # The programs they name are where the default prefix would have put them.
            text = unit.read_text().replace("/usr/local/bin", str(root / "bin"))
            copy = self.write(unit.name, text)
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True,
                                  timeout=60)
            complaints = [line for line in done.stderr.splitlines() if unit.name in line]
            self.assertEqual(complaints, [])


if __name__ == "__main__":
    main()
