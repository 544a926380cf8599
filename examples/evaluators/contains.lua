-- Whether the answer contains the expected text, capitals and punctuation aside. Try it:
--   assay evaluators test examples/evaluators/contains.lua --item '{"sample": "It is Paris.", "ground_truth": "paris"}'
function run_evaluation(item)
  local answer, expected = assay.normalise(item.sample.text), assay.normalise(item.ground_truth.text)
  return answer:find(expected, 1, true) ~= nil
end
