// The plugin "text": scores of texts against texts.
#include <assay/evaluator.hpp>

#include "plugins/text/matches.hpp"
#include "plugins/text/overlaps.hpp"

using namespace assay::text;  // NOLINT(google-build-using-namespace)

ASSAY_PLUGIN("text", "1.0.0", Exact, Contains, Pattern, Numeric, Levenshtein, Fuzzy, Bleu, Gleu, ChrF, Rouge,
             TokenF1, ChoiceLetter, StringCheck);
