#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "datasets/dataset.h"
#include "datasets/file_tree.h"
#include "datasets/pack.h"
#include "episodes/errors.h"
#include "episodes/text.h"
#include "tests/datasets/archives.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

// Names from other systems: whatever bytes they have, they are UTF-8 inside, each its own, and lead back to the file.

namespace fewatoms {
namespace {

using test::class_names;
using test::message_of;
using test::pixels;
using test::raw_zip;
using test::RawEntry;
using test::TemporaryFolder;
using test::write_file;
using test::write_image;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr const char* kLatin[] = {"p\xE8re", "p\xE9re", "m\xE8re"};  // in Latin-1

void expect_utf8(const ImageSource& source) {
  for (int c = 0; c < source.classes(); ++c) {
    EXPECT_TRUE(is_utf8(source.class_name(c)));
    for (int i = 0; i < source.class_size(c); ++i) EXPECT_TRUE(is_utf8(source.image_name({c, i})));
  }
  for (const std::string& notice : source.info().notices) EXPECT_TRUE(is_utf8(notice)) << notice;
}

TEST(Names, ClassesThatDifferInOneByteAreTwo) {
  const TemporaryFolder folder;
  const auto root = folder / "d\xE9j\xE0 vu";
  for (int c = 0; c < 3; ++c) write_image(root / kLatin[c] / "\xE9.png", 8, 8, {10.0 * c, 0, 0});
  DatasetOptions options{.name = "folders", .root = root, .image_size = 8, .split_fractions = "1,0,0"};
  const auto source = open_dataset(options, "train");
  EXPECT_THAT(class_names(*source), ElementsAre("m\\xE8re", "p\\xE8re", "p\\xE9re"));
  EXPECT_EQ(source->image_name({1, 0}), "p\\xE8re/\\xE9.png");
  EXPECT_EQ(pixels(*source, 0, 0)[0], 20);
  EXPECT_EQ(pixels(*source, 2, 0)[0], 10);
  expect_utf8(*source);
  options.root = folder / "gone\xE9";
  EXPECT_THAT(message_of<UsageError>([&] { open_dataset(options, "train"); }), HasSubstr("/gone\\xE9' does not exist"));
}

TEST(Names, ArePackedAsTheyAreShown) {
  const TemporaryFolder folder;
  for (int c = 0; c < 3; ++c) write_image(folder / "photos" / kLatin[c] / "\xE9.png", 8, 8, {10.0 * c, 0, 0});
  DatasetOptions options{.name = "folders", .root = folder / "photos", .image_size = 8, .split_fractions = "1,0,0"};
  const auto names = class_names(*open_dataset(options, "train"));
  write_pack(options, folder / "x.pack");
  options.root = folder / "x.pack";
  const auto packed = open_dataset(options, "train");
  EXPECT_EQ(class_names(*packed), names);
  EXPECT_EQ(packed->image_name({1, 0}), "p\\xE8re/\\xE9.png");
}

TEST(Names, InAManifestAreFoundByTheirBytesOrAsTheyAreShown) {
  const TemporaryFolder folder;
  for (int c = 0; c < 2; ++c) write_image(folder / kLatin[c] / "1.png", 8, 8, {10.0 * c, 0, 0});
  const std::string header = "path,label,split\n";
  const std::string rows[] = {header + "p\xE8re/1.png,p\xE8re,train\np\xE9re/1.png,p\xE9re,train\n",
                              header + "p\\xE8re/1.png,p\\xE8re,train\np\\xE9re/1.png,p\\xE9re,train\n",
                              header + "p\xE8re\\1.png,p\xE8re,train\np\xE9re\\1.png,p\xE9re,train\n"};
  for (const std::string& text : rows) {
    write_file(folder / "m\xE9.csv", text);
    const auto source = open_dataset({.name = "manifest", .root = folder / "m\xE9.csv", .image_size = 8}, "train");
    EXPECT_THAT(class_names(*source), ElementsAre("p\\xE8re", "p\\xE9re"));
    EXPECT_EQ(pixels(*source, 1, 0)[0], 10);
    expect_utf8(*source);
  }
}

class ZipNames : public testing::Test {
 protected:
  /// The names of a .zip's folders, and the notices of reading it.
  std::vector<std::string> folders(const std::vector<RawEntry>& entries, const std::string& encoding = {}) {
    write_file(folder / "x.zip", raw_zip(entries));
    const FileTreePtr tree = open_file_tree(folder / "x.zip", false, encoding);
    notices = tree->notices();
    for (const std::string& name : tree->list("").folders) EXPECT_EQ(tree->read(name + "/1.png").view, "x") << name;
    return tree->list("").folders;
  }
  TemporaryFolder folder;
  std::vector<std::string> notices;
};

TEST_F(ZipNames, ThatSayTheyAreUtf8Are) {
  EXPECT_THAT(folders({{"\xE7\x8C\xAB/1.png", "x", true}, {"\xE7\x8B\x97/1.png", "x", true}}),
              ElementsAre("\xE7\x8B\x97", "\xE7\x8C\xAB"));
  EXPECT_THAT(notices, IsEmpty());
  EXPECT_THAT(folders({{"\xC3\xA8/1.png", "x", true}, {"cat/1.png", "x"}}, "GBK"), ElementsAre("cat", "\xC3\xA8"));
  EXPECT_THAT(notices, IsEmpty());
}

TEST_F(ZipNames, ThatDoNotSayAreCp437OrAsAsked) {
  const std::vector<RawEntry> gbk{{"\xC3\xA8/1.png", "x"}, {"\xB9\xB7/1.png", "x"}};  // cat and dog in GBK
  EXPECT_THAT(folders(gbk), ElementsAre("\xE2\x94\x9C\xC2\xBF", "\xE2\x95\xA3\xE2\x95\x96"));
  EXPECT_THAT(notices, ElementsAre(testing::AllOf(HasSubstr("read as CP437"), HasSubstr("--name-encoding"))));
  EXPECT_THAT(folders(gbk, "GBK"), ElementsAre("\xE7\x8B\x97", "\xE7\x8C\xAB"));
  EXPECT_THAT(notices, ElementsAre(HasSubstr("read as GBK")));
  EXPECT_THAT(folders({{"\x94L/1.png", "x"}, {"a/1.png", "x"}}, "SHIFT_JIS"), ElementsAre("a", "\xE7\x8C\xAB"));
  // One entry says so and another does not: each is taken at its word.
  EXPECT_THAT(folders({{"\xC3\xA8/1.png", "x", true}, {"\xB9\xB7/1.png", "x"}}, "GBK"),
              ElementsAre("\xC3\xA8", "\xE7\x8B\x97"));
}

TEST_F(ZipNames, ThatAreAllUtf8WithoutSayingSoAreUtf8) {  // as macOS writes them
  EXPECT_THAT(folders({{"\xC3\xA8/1.png", "x"}, {"\xE7\x8C\xAB/1.png", "x"}}), ElementsAre("\xC3\xA8", "\xE7\x8C\xAB"));
  EXPECT_THAT(notices, ElementsAre(HasSubstr("read as UTF-8")));
}

TEST_F(ZipNames, ThatAreNotInTheEncodingAskedForAreEscaped) {
  EXPECT_THAT(folders({{"p\xE8re/1.png", "x"}, {"p\xE9re/1.png", "x"}}, "UTF-8"), ElementsAre("p\\xE8re", "p\\xE9re"));
  EXPECT_THAT(notices, ElementsAre(HasSubstr("2 escaped")));
  for (const char* unknown : {"KLINGON", "UTF-8//IGNORE"})
    EXPECT_THAT(message_of<UsageError>([&] { resolve({.name = "folders", .name_encoding = unknown}); }),
                HasSubstr("which iconv does not know: expected one such as GBK"));
}

TEST(Names, InATarAreUtf8OrEscaped) {
  const TemporaryFolder folder;
  const auto tar = [&](const char* format, const std::string& name) {
    archive* writer = archive_write_new();
    archive_write_set_format_by_name(writer, format);
    archive_write_open_filename(writer, (folder / "x.tar").c_str());
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, name.c_str());
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_size(entry, 1);
    archive_write_header(writer, entry);
    archive_write_data(writer, "x", 1);
    archive_entry_free(entry);
    archive_write_close(writer);
    archive_write_free(writer);
    const FileTreePtr tree = open_file_tree(folder / "x.tar");
    EXPECT_EQ(tree->read(tree->list("").files.at(0)).view, "x");
    return tree->list("").files.at(0);
  };
  EXPECT_EQ(tar("ustar", "p\xE8re.png"), "p\\xE8re.png");
  EXPECT_EQ(tar("gnutar", "\xE7\x8C\xAB.png"), "\xE7\x8C\xAB.png");
}

TEST(Names, OfOneArchiveByTwoEncodingsAreTwoTrees) {
  const TemporaryFolder folder;
  write_file(folder / "x.zip", raw_zip({{"\xB9\xB7/1.png", "x"}, {"a/1.png", "x"}}));
  const auto as_gbk = open_file_tree(folder / "x.zip", false, "GBK"), as_it_is = open_file_tree(folder / "x.zip");
  EXPECT_NE(as_gbk->list("").folders, as_it_is->list("").folders);
}

}  // namespace
}  // namespace fewatoms
