# Part of the key words that the answer has. Try it:
#   assay evaluators test examples/evaluators/keywords.py \
#     --item '{"sample":"Paris lies on the Seine","ground_truth":"paris seine"}'
import re

WORD = re.compile(r"\w+")  # here, once, and not for every item


def words(text):
    return set(WORD.findall(text.lower()))


def run_evaluation(item):
    wanted = words(item["ground_truth"]["text"])
    found = wanted & words(item["sample"]["text"])
    return {"score": len(found) / len(wanted), "reason": "missing: " + ", ".join(sorted(wanted - found))}
