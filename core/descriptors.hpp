// How many descriptors this process may have: a connection is one.
#pragma once

#include <cstddef>

namespace assay {

/// Raises the limit as far as the system lets this process; what it is now.
size_t raise_descriptor_limit();

}  // namespace assay
