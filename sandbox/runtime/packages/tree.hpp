// Folders that a jail has filled: their owner may have made them as deep, as many and as closed as it likes.
#pragma once

#include <cstdint>
#include <string>

#include "core/error.hpp"

namespace assay::sandbox {

/// What `folder` takes on the disk, at least a block for each entry; stops counting above `limit_bytes`.
/// `config` for one that is deeper than any package needs, or cannot be read.
Result<uint64_t> tree_bytes(const std::string& folder, uint64_t limit_bytes);

/// Removes `folder` and all in it, whatever its depth, in constant memory; no link is followed. Nothing to
/// remove is no error.
Result<void> remove_tree(const std::string& folder);

/// Free for unprivileged users on the file system of `folder`.
uint64_t free_bytes(const std::string& folder);

}  // namespace assay::sandbox
