// The memory of one Lua state: one fixed mapping, so that the state can be copied away and put back.
//
// Everything that the state owns lies in the arena, and so does the allocator's own book-keeping: restoring
// the used prefix by memcpy puts back the state exactly as it was, at a few microseconds for the size of a
// fresh state. That is how every item gets a fresh state without paying for one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace assay::sandbox::lua {

class Arena {
 public:
  /// Reserves `bytes` of address space; pages are taken when used. Check `ok()`.
  explicit Arena(size_t bytes);
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  bool ok() const { return header_ != nullptr; }

  /// A lua_Alloc; `arena` is the Arena. nullptr when the arena is full, never when a block shrinks.
  static void* allocate(void* arena, void* block, size_t old_size, size_t new_size) noexcept;

  /// Keeps a copy of all that is allocated now. False when that is more than kSnapshotLimit.
  bool take_snapshot();
  /// Puts the copy back; every pointer into the arena made since then is invalid.
  void restore();

  /// The most bytes that were allocated at once since the last restore, what the snapshot holds included.
  size_t peak_bytes() const { return header_->peak; }
  size_t live_bytes() const { return header_->live; }

  static constexpr size_t kSnapshotLimit = 16U << 20;

 private:
  struct FreeBlock {
    FreeBlock* next;
  };
  static constexpr size_t kClasses = 160;
  struct Header {
    std::byte* top;   ///< everything from here on was never used since the last restore
    std::byte* high;  ///< the highest `top` since then
    size_t live, peak;
    FreeBlock* free[kClasses];
  };

  void* take(size_t size) noexcept;
  void* take_from_larger(size_t size_class) noexcept;
  void give(void* block, size_t size) noexcept;
  void keep_remainder(std::byte* from, size_t size) noexcept;
  void note_use(size_t size) noexcept;
  bool fits_at_top(const void* block, size_t size) const noexcept;

  size_t bytes_;
  Header* header_ = nullptr;  // at the start of the mapping
  std::byte* end_ = nullptr;
  std::unique_ptr<std::byte[]> snapshot_;
  size_t snapshot_bytes_ = 0;
};

}  // namespace assay::sandbox::lua
