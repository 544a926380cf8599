---@meta assay
-- What an evaluator written in Lua sees, as annotations for the Lua language server (LuaLS). Point its
-- `workspace.library` at the folder of this file. Nothing here runs.
--
-- An evaluator is one file that defines the global function run_evaluation. It runs once for every item, each time in a
-- fresh state: globals, tables and string.* are as the file's top level left them. There is no file, no network, no load
-- and no require; os has time, clock, date and difftime, all in UTC. The same item gets the same random numbers.

---One side of an item.
---@class assay.Side
---@field input any   The prompt, or what the data source's columns selected; a string or any JSON.
---@field output any  The response; a string or any JSON. nil when the source has none.
---@field text string? The plain text of `output`, whatever its shape.

---@class assay.Item
---@field id string           Identifies the item within its source.
---@field index integer       Position in the run, from 0. Seeds math.random.
---@field sample assay.Side        What is evaluated.
---@field ground_truth assay.Side  What it is compared with.
---@field metadata table<string, any>?

---@class assay.Result
---@field score number|boolean  Finite. true and false are 1 and 0 and set `passed`.
---@field passed boolean?       Left out: the evaluation's threshold decides.
---@field reason string?        Why this score, for a person.
---@field metrics table<string, number>?  More numbers, by name.

---Evaluates one item. Raise an error rather than return a score that means nothing: errors are counted beside the mean.
---@param item assay.Item
---@return assay.Result|number|boolean
function run_evaluation(item) end

---@class assay
---@field params table<string, any>  The parameters of this evaluator, from the evaluation.
assay = {}

---Adds a line to the item's log: the arguments as text with tabs between, as print does. Head and tail are kept.
---@param ... any
function assay.log(...) end

---The last number in a text, or nil. See assay.numbers for what counts as one.
---@param text string
---@return number?
function assay.last_number(text) end

---The numbers in a text, in order: "1,234.5", "-3", "$18", "50%" (50), ".5", "1e-3". A minus sign counts when no letter or
---digit is before it ("5-3" has 5 and 3), a comma only between groups of three digits.
---@param text string
---@return number[]
function assay.numbers(text) end

---The number that the whole text is ("$1,234", " 50 % ", "18."), or nil. A number is given back as it is.
---@param text string|number
---@return number?
function assay.number(text) end

---The words of a text: runs of letters, digits and other non-ASCII characters, with apostrophes inside. Case is kept.
---@param text string
---@return string[]
function assay.words(text) end

---For comparing answers as SQuAD does: ASCII letters lower-cased, ASCII punctuation removed, the words "a", "an" and "the"
---left out, white space reduced to single blanks.
---@param text string
---@return string
function assay.normalise(text) end

---The number of insertions, deletions and substitutions of characters between two texts of at most 10,000 characters.
---@param a string
---@param b string
---@return integer
function assay.levenshtein(a, b) end

---Runs text as a program, in a jail of its own; only what it prints comes back. Needs `grants = ["candidate"]`.
---`language` is python, node or shell; `limits` may have wall_ms, cpu_ms and memory_bytes.
---@param program {language: string, source: string, stdin?: string, limits?: table<string, integer>}
---@return {exit_code?: integer, stdout: string, stderr: string, error?: {kind: string, message: string}, wall_ms: number, cpu_ms: number, memory_bytes: integer}
function assay.run_candidate(program) end

---@class assay.Message
---@field role "system"|"user"|"assistant"
---@field content string|table[]  Text, or parts as OpenAI's chat completions take them.

---@class assay.LlmRequest
---@field model string             A model of the worker, by its name there.
---@field prompt string?          The one message of a user; or messages:
---@field messages assay.Message[]?
---@field params table<string, any>?  temperature, top_p, max_tokens, seed, stop, logprobs, top_logprobs, reasoning_effort, …
---@field schema {name: string, schema: table, strict?: boolean}?  What the answer is to look like: a JSON schema.

---@class assay.LlmReply
---@field text string
---@field finish "stop"|"length"|"content_filter"|"refusal"|"tool"|"other"
---@field finish_reason string     The provider's own word.
---@field model string
---@field refusal string?
---@field reasoning string?
---@field tool {name: string, arguments: string}?  The arguments are JSON.
---@field logprobs {token: string, logprob: number, top: {token: string, logprob: number}[]}[]?
---@field usage {input: integer, cached: integer, output: integer, reasoning: integer, estimated: boolean}?  Tokens.
---@field cost number?             In US dollars. nil: the model has no price.
---@field from_cache boolean

---What assay.llm raises when there is no reply. It prints as its message. When nobody catches it, the evaluation ends with
---that kind.
---@class assay.ModelError
---@field kind string  auth, billing, rate_limited, model_not_found, context_too_long, content_filter, timeout, transport, …
---@field message string

---Asks a model of the worker, which has the keys and counts the cost. Needs `grants = ["llm"]`. Raises an assay.ModelError
---when there is no reply. While it waits the wall deadline stands still.
---@param request assay.LlmRequest
---@return assay.LlmReply
function assay.llm(request) end

---Strict JSON. In items, members that are null are left out; json.decode keeps them as json.null.
---@class json
---@field null lightuserdata  JSON's null.
json = {}

---Raises an error that says what is wrong and where. Depth 64 and 16 MiB at most, no duplicate keys.
---@param text string
---@return any
function json.decode(text) end

---A table with the keys 1…n is an array, one with string keys an object with its keys in order; an empty one is `{}`
---unless it was decoded from `[]` or marked. Raises an error for what has no JSON form: functions, NaN, cycles, holes.
---@param value any
---@return string
function json.encode(value) end

---Marks a table so that it is encoded as `[]` when it is empty. Gives the table back.
---@generic T: table
---@param list T
---@return T
function json.array(list) end
