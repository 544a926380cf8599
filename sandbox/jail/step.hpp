// The steps of building a jail. Each is checked; the first that fails is reported by name with its errno.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace assay::sandbox {

enum class Step : uint32_t {
  none,
  // in the spawner
  sockets,
  error_pipe,
  make_group,
  clone,
  user_map,
  answer,
  // in the child, in this order
  enter_group,
  enter_network,
  copy_mounts,
  parent_death,
  wait_for_map,
  session,
  descriptors,
  close_descriptors,
  hostname,
  private_mounts,
  make_root,
  fill_root,
  mirror_host,
  make_devices,
  mount_scratch,
  mount_proc,
  mount_folders,
  enter_root,
  listen,
  drop_bounding,
  drop_groups,
  change_group,
  change_user,
  drop_capabilities,
  no_new_privileges,
  limits,
  execute,
  // in the host
  lock_down,
};

std::string_view to_string(Step step);

}  // namespace assay::sandbox
