#include "sandbox/runtime/packages/tree.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "core/fd.hpp"

namespace assay::sandbox {
namespace {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "assay-tree-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path = name;
  }
  ~Folder() { remove_tree(path.string()); }
  std::filesystem::path path;

  void make_deep(int levels) const {
    UniqueFd at(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    for (int level = 0; level < levels; level++) {
      REQUIRE(mkdirat(at.get(), "deeper", 0755) == 0);
      const UniqueFd file(openat(at.get(), "file", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
      at = UniqueFd(openat(at.get(), "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      REQUIRE(at);
    }
  }
};

}  // namespace

TEST_CASE("tree_bytes: counts a block for each entry, and stops above the limit", "[packages]") {
  const Folder folder;
  for (int i = 0; i < 10; i++) std::ofstream(folder.path / std::to_string(i));
  std::ofstream(folder.path / "large") << std::string(1 << 20, 'x');
  const auto bytes = tree_bytes(folder.path, 1ULL << 40);
  REQUIRE(bytes);
  CHECK(*bytes >= (1U << 20) + 10 * 4'096);
  CHECK(*bytes < (2U << 20));
  CHECK(tree_bytes(folder.path, 4'096).value() <= (2U << 20));
  CHECK(tree_bytes(folder.path, 4'096).value() > 4'096);
  std::filesystem::create_directory_symlink("/", folder.path / "link");
  CHECK(tree_bytes(folder.path, 1ULL << 40).value() < (2U << 20));
  CHECK_FALSE(tree_bytes(folder.path / "none", 1));
}

TEST_CASE("trees that are too deep are refused, and removed all the same", "[packages]") {
  const Folder folder;
  folder.make_deep(5'000);
  const auto bytes = tree_bytes(folder.path, 1ULL << 40);
  REQUIRE_FALSE(bytes);
  CHECK(bytes.error().kind == ErrorKind::config);
  const Result<void> removed = remove_tree(folder.path);
  INFO((removed ? "" : removed.error().message));
  CHECK(removed);
  CHECK_FALSE(std::filesystem::exists(folder.path));
  CHECK(remove_tree(folder.path));
}

TEST_CASE("remove_tree: what is closed goes too, what is linked to stays as it is", "[packages]") {
  const Folder folder, other;
  std::ofstream(other.path / "kept") << "kept";
  REQUIRE(chmod((other.path / "kept").c_str(), 0640) == 0);
  std::filesystem::create_directories(folder.path / "a/b/c");
  std::filesystem::create_symlink(other.path / "kept", folder.path / "a/b/link");
  std::filesystem::create_directory_symlink(other.path, folder.path / "a/folder");
  std::filesystem::create_directory_symlink(other.path, folder.path / ".removed-0");
  std::ofstream(folder.path / "a/b/c/file");
  for (const char* name : {"a/b/c", "a/b", "a"}) REQUIRE(chmod((folder.path / name).c_str(), 0) == 0);
  CHECK(remove_tree(folder.path));
  CHECK_FALSE(std::filesystem::exists(folder.path));
  struct stat kept{};
  REQUIRE(stat((other.path / "kept").c_str(), &kept) == 0);
  CHECK((kept.st_mode & 0777) == 0640);
}

}  // namespace assay::sandbox
