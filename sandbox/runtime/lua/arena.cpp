#include "sandbox/runtime/lua/arena.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace assay::sandbox::lua {
namespace {

constexpr size_t kAlign = 16;
constexpr size_t kSmall = 512;  // multiples of 16 up to here, then four sizes per doubling
constexpr size_t kKeepPages =
    256U << 10;  // above the snapshot: below this, giving pages back costs more than it saves

// Segregated fit: blocks have the size of their class and Lua tells the size of what it frees, so blocks need
// no header. Free blocks are not merged: an item lives too briefly to fragment, and one that tries only hurts
// itself.
struct Class {
  size_t index;
  size_t size;
};

Class class_of(size_t size) {
  if (size <= kSmall) {
    const size_t units = (size + kAlign - 1) / kAlign;
    return {units - 1, units * kAlign};
  }
  const auto doubling =
      static_cast<size_t>(std::bit_width(size - 1)) - 1;  // 2^doubling < size <= 2^(doubling+1)
  const size_t base = size_t{1} << doubling;
  const size_t step = base / 4;
  const size_t quarter = (size - 1 - base) / step;
  return {kSmall / kAlign + (doubling - 9) * 4 + quarter, base + (quarter + 1) * step};
}

/// The largest class that is not larger than `size`, a multiple of 16 and at least 16.
Class class_within(size_t size) {
  const Class above = class_of(size);
  if (above.size == size) return above;
  const auto doubling = static_cast<size_t>(std::bit_width(size)) - 1;
  const size_t base = size_t{1} << doubling;
  return class_of(base + (size - base) / (base / 4) * (base / 4));
}

}  // namespace

Arena::Arena(size_t bytes) : bytes_(bytes) {
  void* memory =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || bytes < sizeof(Header)) return;
  header_ = static_cast<Header*>(memory);
  end_ = static_cast<std::byte*>(memory) + bytes;
  header_->top = static_cast<std::byte*>(memory) + (sizeof(Header) + kAlign - 1) / kAlign * kAlign;
  header_->high = header_->top;
}

Arena::~Arena() {
  if (header_ != nullptr) munmap(header_, bytes_);
}

void* Arena::allocate(void* arena, void* block, size_t old_size, size_t new_size) noexcept {
  auto& self = *static_cast<Arena*>(arena);
  if (block == nullptr) return new_size == 0 ? nullptr : self.take(new_size);  // old_size is then a type tag
  if (new_size == 0) {
    self.give(block, old_size);
    return nullptr;
  }
  const Class old_class = class_of(old_size);
  const Class new_class = class_of(new_size);
  if (old_class.index == new_class.index) return block;
  auto* const start = static_cast<std::byte*>(block);
  if (start + old_class.size == self.header_->top && self.fits_at_top(block, new_class.size)) {
    self.header_->top = start + new_class.size;
    self.header_->live -= old_class.size;
    self.note_use(new_class.size);
    return block;
  }
  void* const moved = self.take(new_size);
  // Lua relies on shrinking never to fail. The block then stays larger than its class will say: lost until
  // the restore.
  if (moved == nullptr) return new_size < old_size ? block : nullptr;
  memcpy(moved, block, std::min(old_size, new_size));
  self.give(block, old_size);
  return moved;
}

bool Arena::fits_at_top(const void* block, size_t size) const noexcept {
  return size <= static_cast<size_t>(end_ - static_cast<const std::byte*>(block));
}

void Arena::note_use(size_t size) noexcept {
  header_->live += size;
  header_->peak = std::max(header_->peak, header_->live);
  header_->high = std::max(header_->high, header_->top);
}

void* Arena::take(size_t size) noexcept {
  if (size > bytes_) return nullptr;  // also keeps class_of within its table
  const Class wanted = class_of(size);
  void* block = header_->free[wanted.index];
  if (block != nullptr) {
    header_->free[wanted.index] = header_->free[wanted.index]->next;
  } else if (fits_at_top(header_->top, wanted.size)) {
    block = header_->top;
    header_->top += wanted.size;
  } else if (block = take_from_larger(wanted.index); block == nullptr) {
    return nullptr;
  }
  note_use(wanted.size);
  return block;
}

void* Arena::take_from_larger(size_t size_class) noexcept {
  for (size_t index = size_class + 1; index < kClasses; index++) {
    FreeBlock* const block = header_->free[index];
    if (block == nullptr) continue;
    header_->free[index] = block->next;
    const auto size_at = [](size_t i) {
      if (i < kSmall / kAlign) return (i + 1) * kAlign;
      const size_t base = kSmall << ((i - kSmall / kAlign) / 4);
      return base + ((i - kSmall / kAlign) % 4 + 1) * (base / 4);
    };
    const size_t used = size_at(size_class);
    keep_remainder(reinterpret_cast<std::byte*>(block) + used, size_at(index) - used);
    return block;
  }
  return nullptr;
}

void Arena::keep_remainder(std::byte* from, size_t size) noexcept {
  while (size >= kAlign) {
    const Class piece = class_within(size);
    auto* const block = reinterpret_cast<FreeBlock*>(from);
    block->next = header_->free[piece.index];
    header_->free[piece.index] = block;
    from += piece.size;
    size -= piece.size;
  }
}

void Arena::give(void* block, size_t size) noexcept {
  if (size == 0) return;
  const Class freed = class_of(size);
  header_->live -= freed.size;
  if (static_cast<std::byte*>(block) + freed.size == header_->top) {
    header_->top = static_cast<std::byte*>(block);
    return;
  }
  auto* const entry = static_cast<FreeBlock*>(block);
  entry->next = header_->free[freed.index];
  header_->free[freed.index] = entry;
}

bool Arena::take_snapshot() {
  const auto used = static_cast<size_t>(header_->top - reinterpret_cast<std::byte*>(header_));
  if (used > kSnapshotLimit) return false;
  header_->high = header_->top;
  header_->peak = header_->live;
  snapshot_ = std::make_unique<std::byte[]>(used);
  snapshot_bytes_ = used;
  memcpy(snapshot_.get(), header_, used);
  return true;
}

void Arena::restore() {
  std::byte* const high = header_->high;
  memcpy(header_, snapshot_.get(), snapshot_bytes_);
  if (static_cast<size_t>(high - header_->top) <= kKeepPages) return;
  constexpr size_t kPage = 4096;
  auto* const begin = reinterpret_cast<std::byte*>(header_);  // at the start of a page
  const auto used = static_cast<size_t>(header_->top - begin);
  const size_t kept = (used + kKeepPages + kPage - 1) / kPage * kPage;
  const auto size = static_cast<size_t>(end_ - begin);
  if (kept < size) madvise(begin + kept, size - kept, MADV_DONTNEED);
}

}  // namespace assay::sandbox::lua
