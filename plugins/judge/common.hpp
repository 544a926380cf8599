// The words of plugins/common (errors, texts, JSON, templates), as this folder's own.
#pragma once

#include "plugins/common/error.hpp"

namespace assay::judge {
using namespace plugins;  // NOLINT(google-build-using-namespace)
}  // namespace assay::judge
