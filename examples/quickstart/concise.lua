-- How much of the answer is needed: 1.0 up to the expected words and some to spare, then less the longer it runs.

function run_evaluation(item)
  local spare = assay.params.spare_words or 6
  local needed = #assay.words(item.ground_truth.text) + spare
  local used = #assay.words(item.sample.text)
  local metrics = { words = used, words_needed = needed }
  if used == 0 then return { score = 0, reason = "empty answer", metrics = metrics } end
  if used <= needed then return { score = 1, reason = used .. " words", metrics = metrics } end
  return {
    score = needed / used,
    reason = ("%d words where %d do"):format(used, needed),
    metrics = metrics,
  }
end
