# How long the item is as JSON, in characters: the item comes on standard input, the result goes to standard output.
#   assay evaluators test examples/evaluators/length.sh --item '{"sample":"hello"}'
wc -m
