// Tokens as a mock counts them: a word's four letters or digits with the blank before them, or one other
// character. English has about as many in real tokenizers.
#pragma once

#include <string_view>
#include <vector>

namespace assay::cli::mock {

size_t count_tokens(std::string_view text);
/// They make up the text. Views into it.
std::vector<std::string_view> tokens_of(std::string_view text);
/// The first `count` tokens of the text.
std::string_view first_tokens(std::string_view text, size_t count);

}  // namespace assay::cli::mock
