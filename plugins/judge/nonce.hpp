// What the author of a judged text cannot know.
#pragma once

#include <string>

namespace assay::judge {

/// 16 random characters of a–z and 2–7 (80 bits) from the system, as Fence takes them.
std::string fresh_nonce();

}  // namespace assay::judge
