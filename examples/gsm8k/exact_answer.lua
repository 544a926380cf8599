-- GSM8K solutions end in "A: 42". Right when the last such answer of the sample is that of the ground truth, thousands
-- separators and currency aside.

local function last_answer(text)
  local answer
  for found in text:gmatch("A:([^\n]*)") do
    answer = found
  end
  if not answer then return nil end
  return (answer:gsub("[,$%s]", ""))
end

function run_evaluation(item)
  local got = last_answer(item.sample.text)
  local want = last_answer(item.ground_truth.text)
  if not got then
    return { score = 0, reason = "the solution has no line that starts with A:" }
  end
  local right = got == want or (tonumber(got) ~= nil and tonumber(got) == tonumber(want))
  return { score = right and 1 or 0, reason = right and "same answer" or ("got " .. got .. ", want " .. tostring(want)) }
end
