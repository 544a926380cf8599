// Whether the answer is JSON with the keys of the ground truth. Try it:
//   assay evaluators test examples/evaluators/json_keys.mjs \
//     --item '{"sample":"{\"a\": 1}","ground_truth":"{\"a\": 0, \"b\": 0}"}'
export function run_evaluation(item) {
  const wanted = Object.keys(JSON.parse(item.ground_truth.text));
  let answer;
  try {
    answer = JSON.parse(item.sample.text);
  } catch (error) {
    return { score: 0, passed: false, reason: `no JSON: ${error.message}` };
  }
  const missing = wanted.filter((key) => !(key in answer));
  return { score: 1 - missing.length / wanted.length, passed: missing.length === 0, reason: `missing: ${missing}` };
}
