// What the author of a judged text cannot know.
#pragma once

#include <string>
#include <string_view>

namespace assay::judge {

/// 26 characters of a–z and 2–7, as Fence takes them: 130 bits of the SHA-256 of `question`, all that is
/// asked. A text cannot hold the hash of a text that it is a part of, so this is as good as a random code,
/// and the same question has the same: a reply that was kept answers it.
std::string nonce_of(std::string_view question);

}  // namespace assay::judge
