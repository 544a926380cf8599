// Making /tmp empty between two items that share a jail.
#pragma once

namespace assay::sandbox::process {

/// Removes what is in /tmp. False when that is more than can be done quickly, or something cannot be removed:
/// the jail is then to be thrown away.
bool empty_scratch() noexcept;

}  // namespace assay::sandbox::process
