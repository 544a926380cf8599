# Runs the function that the sample defines on inputs whose results it does not get to see: the program runs in a jail
# of its own and prints, and what it prints is compared here. A program that exits early, prints "passed" or changes
# what == means gains nothing. Needs grants = ["candidate"]. Try it:
#   assay evaluators test examples/evaluators/unit_tests.py --grant candidate \
#     --params '{"function":"add","cases":[[[1,2],3],[[2,2],4]]}' --item '{"sample":"def add(a, b): return a + b"}'
import json

import assay

DRIVER = """
import json, sys
for arguments in json.load(sys.stdin):
    print(json.dumps({function}(*arguments)))
"""


def run_evaluation(item):
    cases = assay.params["cases"]
    ran = assay.run_candidate(
        language="python",
        source=item["sample"]["text"] + DRIVER.replace("{function}", assay.params["function"]),
        stdin=json.dumps([arguments for arguments, _ in cases]),
        limits={"wall_ms": 5000, "cpu_ms": 2000},
    )
    if "error" in ran:
        return {"score": 0, "passed": False, "reason": ran["error"]["kind"] + ": " + ran["error"]["message"]}
    lines = ran["stdout"].splitlines()
    right = 0
    for (_, expected), line in zip(cases, lines):
        try:
            right += json.loads(line) == expected
        except ValueError:
            pass
    passed = right == len(cases) and len(lines) == len(cases) and ran["exit_code"] == 0
    return {"score": right / len(cases), "passed": passed, "reason": ran["stderr"][-500:]}
