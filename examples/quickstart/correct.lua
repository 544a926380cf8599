-- Is the answer the expected fact, however it is put? 1 yes, 0 no, 0.5 when the fact is there but not committed to.
--
-- A number is compared by value, so 1,200 is 1200, and needs its unit behind it: "42 km" may be "42 kilometres" but
-- not "42 miles". Everything else is compared as words.

local SPELLINGS = {
  km = { "km", "kilometre", "kilometer" },
  m = { "m", "metre", "meter" },
  cm = { "cm", "centimetre", "centimeter" },
  kg = { "kg", "kilogram" },
  g = { "g", "gram" },
  ml = { "ml", "millilitre", "milliliter" },
  seconds = { "second", "s" },
  minutes = { "minute", "min" },
  days = { "day" },
  ["°c"] = { "°c", "degrees celsius", "celsius" },
  ["%"] = { "%", "percent" },
}

-- As the words stand when every apostrophe is a blank.
local REFUSALS = { "i cannot", "i can t", "i am unable", "i m unable", "i don t know", "i do not know", "as ai" }
local HEDGES = { "either", "not sure", "could be both" }

local function words_of(text)
  return " " .. assay.normalise((text:gsub("’", " "):gsub("'", " "))) .. " "
end

local function first_said(text, phrases)
  for _, phrase in ipairs(phrases) do
    if text:find(" " .. phrase .. " ", 1, true) then return phrase end
  end
end

local function same(a, b) return math.abs(a - b) <= 1e-9 * math.max(1, math.abs(a), math.abs(b)) end

-- "1500 g" as 1500 and "g", "$20" as 20 and ""; nothing for "20 June", which is text.
local function quantity(expected)
  local number, unit = expected:match("^(%-?%$?[%d.,]+)%s*(.-)$")
  if not number then return end
  unit = unit:lower()
  if unit == "" or SPELLINGS[unit] then return assay.number(number), unit end
end

local function begins_with_unit(text, unit)
  for _, spelling in ipairs(SPELLINGS[unit]) do
    local behind = text:sub(#spelling + 1):gsub("^s", "") -- its plural is the same unit
    if text:sub(1, #spelling) == spelling and not behind:find("^%a") then return true end
  end
  return false
end

-- Does this number with its unit behind it stand anywhere in the answer?
local function has_quantity(answer, wanted, unit)
  for digits, position in answer:lower():gmatch("(%d[%d.,]*)()") do
    local value = assay.last_number(digits) -- of "1,200." at the end of a sentence too
    local behind = answer:lower():sub(position):gsub("^%s+", "")
    if value and same(value, wanted) and begins_with_unit(behind, unit) then return true end
  end
  return false
end

local function compare_numbers(expected, wanted, unit, answer)
  local given = assay.numbers(answer)
  if #given == 0 then return 0, "no number in the answer; expected " .. expected end
  -- An answer says its number at once and explains, or works towards it; what is in between are steps.
  local first, last = given[1], given[#given]
  if not same(first, wanted) and not same(last, wanted) then
    return 0, ("expected %s, but the answer ends with %g"):format(expected, last)
  end
  if unit ~= "" and not has_quantity(answer, math.abs(wanted), unit) then
    return 0, ("the number is right, its unit is not: expected %s"):format(expected)
  end
  return 1, "gives " .. expected
end

local function compare_words(expected, answer)
  local wanted = words_of(expected)
  if words_of(answer):find(wanted, 1, true) then return 1, "names " .. expected end
  if expected:find("%d") then return 0, "does not say " .. expected end
  -- A slip of the pen in a long name is still the name.
  local name, given = assay.words(assay.normalise(expected)), assay.words(assay.normalise(answer))
  local spelled = table.concat(name, " ")
  for start = 1, #given - #name + 1 do
    local part = table.concat(given, " ", start, start + #name - 1)
    if assay.levenshtein(part, spelled) <= #spelled // 7 then
      return 1, ("names %s, spelled %q"):format(expected, part)
    end
  end
  return 0, "does not name " .. expected
end

function run_evaluation(item)
  local expected, answer = item.ground_truth.text, item.sample.text
  if answer == "" then return { score = 0, reason = "empty answer" } end
  local refusal = first_said(words_of(answer), REFUSALS)
  if refusal then return { score = 0, reason = ("refuses: %q"):format(refusal) } end

  local score, reason
  local wanted, unit = quantity(expected)
  if wanted then
    score, reason = compare_numbers(expected, wanted, unit, answer)
  else
    score, reason = compare_words(expected, answer)
  end

  local hedge = first_said(words_of(answer), HEDGES)
  if hedge and score == 1 then
    score, reason = 0.5, ("has the fact but does not commit to it: %q"):format(hedge)
  end
  return { score = score, reason = reason }
end
