#include "episodes/unfinished_file.h"

#include <gtest/gtest.h>

#include "tests/testing.h"

namespace fewatoms::test {
namespace {

bool is_empty(const TemporaryFolder& folder) { return std::filesystem::is_empty(folder.path()); }

TEST(UnfinishedFile, HasItsNameOnceItIsPutInPlaceAndLeavesNothingElse) {
  const TemporaryFolder folder;
  {
    UnfinishedFile file(folder / "name");
    write_file(file.path(), "text");
    EXPECT_FALSE(std::filesystem::exists(folder / "name"));
    EXPECT_TRUE(file.put_in_place());
  }
  EXPECT_EQ(read_file(folder / "name"), "text");
  std::filesystem::remove(folder / "name");
  {
    const UnfinishedFile file(folder / "name");
    write_file(file.path(), "text");
  }
  EXPECT_TRUE(is_empty(folder));
}

TEST(UnfinishedFile, AProgramThatEndsAtOnceRemovesEveryOne) {
  const TemporaryFolder folder;
  const UnfinishedFile a(folder / "a"), b(folder / "b");
  write_file(a.path(), "text");
  write_file(b.path(), "text");
  write_file(folder / "c", "whole");
  remove_unfinished_files();
  EXPECT_FALSE(std::filesystem::exists(a.path()) || std::filesystem::exists(b.path()));
  EXPECT_TRUE(std::filesystem::exists(folder / "c"));
}

}  // namespace
}  // namespace fewatoms::test
