#include "datasets/file_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>

#include "datasets/archive_tree.h"
#include "datasets/dataset.h"
#include "datasets/mapped_file.h"
#include "episodes/errors.h"
#include "tests/datasets/archives.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using test::Entry;
using test::message_of;
using test::TemporaryFolder;
using test::write_archive;
using test::write_file;
using testing::ElementsAre;
using testing::HasSubstr;

std::string content(const FileTree& tree, const std::string& path) { return std::string(tree.read(path).view); }

/// Bytes that do not compress.
std::string noise(size_t size) {
  Random random{7};
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random.below(256));
  return bytes;
}

const std::vector<Entry> kFiles{{"top/b.txt", "bee"},
                                {"top/a.txt", ""},
                                {"top/in/deep/c.txt", noise(300'000)},
                                {"top/.hidden", "x"},
                                {"__MACOSX/top/._b.txt", "x"}};

class EveryTree : public testing::TestWithParam<std::string> {};

TEST_P(EveryTree, ReadsTheSame) {
  const TemporaryFolder folder;
  std::filesystem::path root = folder / GetParam();
  if (GetParam() == "folder") {
    for (const Entry& e : kFiles) write_file(root / e.path, e.content);
    root /= "top";
  } else {
    write_archive(root, kFiles, /*stored=*/GetParam().starts_with("stored"));
  }
  const FileTreePtr tree = open_file_tree(root);
  EXPECT_THAT(tree->list("").folders, ElementsAre("in"));
  EXPECT_THAT(tree->list("").files, ElementsAre("a.txt", "b.txt"));
  EXPECT_THAT(tree->list("in").folders, ElementsAre("deep"));
  EXPECT_TRUE(tree->is_folder("in/deep"));
  EXPECT_FALSE(tree->is_file("in/deep"));
  EXPECT_TRUE(tree->is_file("in/deep/c.txt"));
  EXPECT_FALSE(tree->is_file("in/deep/d.txt"));
  EXPECT_FALSE(tree->is_folder("nowhere"));
  EXPECT_EQ(content(*tree, "a.txt"), "");
  EXPECT_EQ(content(*tree, "b.txt"), "bee");
  EXPECT_EQ(content(*tree, "in/deep/c.txt"), kFiles[2].content);
  EXPECT_EQ(tree->map("in/deep/c.txt").view, kFiles[2].content);
  EXPECT_EQ(test::read_file(*tree->file_for_library("in/deep/c.txt")), kFiles[2].content);
  EXPECT_EQ(content(*subtree(tree, "in"), "deep/c.txt"), kFiles[2].content);
  EXPECT_THAT(tree->name("b.txt"), HasSubstr("b.txt'"));
  for (const char* missing : {"gone.txt", "in"})
    EXPECT_THAT(message_of<DataError>([&] { tree->read(missing); }), HasSubstr("cannot be opened"));
  EXPECT_THAT(message_of<DataError>([&] { tree->list("gone"); }), HasSubstr("cannot be listed"));
  for (const char* outside : {"../x", "/etc/passwd", "in/../../x"}) {
    EXPECT_THAT(message_of<DataError>([&] { tree->read(outside); }), HasSubstr("leaves the"));
    EXPECT_THROW(tree->is_file(outside), DataError);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, EveryTree,
                         testing::Values("folder", "x.tar", "x.tar.gz", "x.tgz", "x.tar.bz2", "x.tar.xz", "x.zip",
                                         "stored.zip"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

TEST(FileTree, BytesOutliveTheTree) {
  const TemporaryFolder folder;
  write_archive(folder / "x.zip", {{"a/b.txt", std::string(5000, 'b')}});
  FileBytes bytes;
  {
    const FileTreePtr tree = open_file_tree(folder / "x.zip");
    bytes = tree->map("b.txt");
  }
  EXPECT_EQ(bytes.view, std::string(5000, 'b'));
}

TEST(FileTree, KeepsAFolderWhoseNameMeansSomething) {
  const TemporaryFolder folder;
  write_archive(folder / "x.zip", {{"train/cat/1.png", "x"}});
  EXPECT_THAT(open_file_tree(folder / "x.zip")->list("").folders, ElementsAre("train"));
}

TEST(FileTree, FollowsLinksBelowTheRootOnly) {
  const TemporaryFolder folder;
  write_file(folder / "root/a.txt", "a");
  write_file(folder / "secret/s.txt", "s");
  std::filesystem::create_symlink("a.txt", folder / "root/inside.txt");
  std::filesystem::create_symlink("../secret/s.txt", folder / "root/outside.txt");
  std::filesystem::create_symlink(folder / "secret", folder / "root/folder");
  std::filesystem::create_symlink("root", folder / "link");
  for (const char* root : {"root", "link"}) {
    const FileTreePtr tree = open_file_tree(folder / root);
    EXPECT_EQ(content(*tree, "inside.txt"), "a");
    for (const char* outside : {"outside.txt", "folder/s.txt"})
      EXPECT_THAT(message_of<DataError>([&] { tree->read(outside); }), HasSubstr("link out of the data root"));
    EXPECT_THAT(message_of<DataError>([&] { tree->list("folder"); }), HasSubstr("--allow-outside"));
    const FileTreePtr allowed = open_file_tree(folder / root, /*allow_outside=*/true);
    EXPECT_EQ(content(*allowed, "outside.txt"), "s");
    EXPECT_EQ(content(*allowed, "folder/s.txt"), "s");
    EXPECT_EQ(content(*allowed, (folder / "secret/s.txt").string()), "s");
  }
}

TEST(FileTree, FollowsLinksInsideAnArchive) {
  const TemporaryFolder folder;
  write_archive(folder / "x.tar", {{"a/b.txt", "b"}, {"c/d.txt", "", "../a/b.txt"}});
  EXPECT_EQ(content(*open_file_tree(folder / "x.tar"), "c/d.txt"), "b");
}

// Names in any order: "z" comes after "a", and each is a link to the next.
TEST(FileTree, FollowsLinksToLinksAndToFoldersInsideAnArchive) {
  const TemporaryFolder folder;
  write_archive(folder / "x.tar", {{"z/first", "", "../a/second"},
                                   {"a/second", "", "../m/third"},
                                   {"m/third", "", "../real/b.txt"},
                                   {"again", "", "all/one"},
                                   {"all", "", "folders"},
                                   {"folders/one", "", "../real"},
                                   {"real/b.txt", "b"},
                                   {"real/up", "", "../real/../a/second"}});
  const FileTreePtr tree = open_file_tree(folder / "x.tar");
  for (const char* path : {"z/first", "a/second", "m/third", "again/b.txt", "all/one/b.txt", "real/up", "again/up"})
    EXPECT_EQ(content(*tree, path), "b") << path;
  EXPECT_THAT(tree->list("").folders, ElementsAre("a", "again", "all", "folders", "m", "real", "z"));
  EXPECT_THAT(tree->list("again").files, ElementsAre("b.txt", "up"));
  EXPECT_EQ(tree->real_path("all/one"), "real");
  EXPECT_EQ(tree->version("again/b.txt"), tree->version("real/b.txt"));
}

TEST(FileTree, LooksThroughWhatSurroundsTheDataInAnArchive) {
  const TemporaryFolder folder;
  const auto first_folder = [&](const std::vector<Entry>& entries) {
    write_archive(folder / "x.zip", entries);
    return open_file_tree(folder / "x.zip")->list("").folders.at(0);
  };
  EXPECT_EQ(first_folder({{"photos/cat/1.png", "x"}, {"README.txt", "x"}, {"LICENSE", "x"}, {"about.md", "x"}}), "cat");
  EXPECT_EQ(first_folder({{"photos/cat/1.png", "x"}, {"train.csv", "x"}}), "photos");
  for (const char* split : {"train", "Train", "valid", "images"})
    EXPECT_EQ(first_folder({{std::string(split) + "/cat/1.png", "x"}}), split);
}

TEST(FileTree, ReadsAnArchiveInAnArchive) {
  const TemporaryFolder folder;
  write_archive(folder / "inner.tar.gz", {{"photos/cat/1.png", "x"}});
  write_archive(folder / "outer.zip", {{"inner.tar.gz", test::read_file(folder / "inner.tar.gz")}, {"readme", "x"}});
  EXPECT_EQ(content(*open_file_tree(folder / "outer.zip"), "cat/1.png"), "x");
  // One that means something to a data set stays what it is.
  write_archive(folder / "omniglot.zip", {{"images_background.tar.gz", test::read_file(folder / "inner.tar.gz")}});
  EXPECT_THAT(open_file_tree(folder / "omniglot.zip")->list("").files, ElementsAre("images_background.tar.gz"));
  for (int i = 0; i < 5; ++i) {
    write_archive(folder / "deep.zip", {{"x.tar.gz", test::read_file(folder / "inner.tar.gz")}});
    std::filesystem::rename(folder / "deep.zip", folder / "inner.tar.gz");
  }
  std::filesystem::rename(folder / "inner.tar.gz", folder / "deep.zip");
  EXPECT_THAT(message_of<DataError>([&] { open_file_tree(folder / "deep.zip"); }), HasSubstr("in 4 archives"));
}

/// How often the program has mapped a file of this name.
int64_t maps_of(const std::string& name) {
  const std::string maps = test::read_file("/proc/self/maps");
  int64_t count = 0;
  for (size_t at = 0; (at = maps.find(name, at)) != std::string::npos; ++at) ++count;
  return count;
}

TEST(FileTree, AnArchiveIsOpenWhileItIsUsed) {
  const TemporaryFolder folder;
  const int64_t spilled = maps_of("fewatoms-");
  write_archive(folder / "held.tar.gz", {{"a/b.txt", std::string(5000, 'b')}});
  FileTreePtr tree = open_file_tree(folder / "held.tar.gz");
  EXPECT_EQ(tree->version("b.txt"), open_file_tree(folder / "held.tar.gz")->version("b.txt")) << "opened twice";
  EXPECT_GT(maps_of("held.tar.gz") + maps_of("fewatoms-"), spilled);
  FileBytes bytes = tree->map("b.txt");
  tree.reset();
  EXPECT_EQ(bytes.view.front(), 'b');
  bytes = {};
  EXPECT_EQ(maps_of("held.tar.gz"), 0);
  EXPECT_EQ(maps_of("fewatoms-"), spilled);

  std::string version;
  {
    const ArchivesStayOpen keep;
    version = open_file_tree(folder / "held.tar.gz")->version("b.txt");
    EXPECT_EQ(open_file_tree(folder / "held.tar.gz")->version("b.txt"), version);
    EXPECT_GT(maps_of("held.tar.gz"), 0);
  }
  EXPECT_EQ(maps_of("held.tar.gz"), 0);
  EXPECT_NE(open_file_tree(folder / "held.tar.gz")->version("b.txt"), version);
}

TEST(FileTree, LeavesOutWhatIsNoData) {
  const TemporaryFolder folder;
  for (const char* name : {"a.txt", ".hidden", ".git/x", "@eaDir/a.jpg", "cat/1.png"}) write_file(folder / name, "x");
  ASSERT_EQ(mkfifo((folder / "pipe.jpg").c_str(), 0600), 0);
  const FileTreePtr tree = open_file_tree(folder.path());
  const FolderListing listing = tree->list("");
  EXPECT_THAT(listing.folders, ElementsAre("cat"));
  EXPECT_THAT(listing.files, ElementsAre("a.txt"));
  std::vector<std::string> left;
  for (const LeftOut& l : listing.left_out) left.push_back(l.name + ": " + l.kind);
  EXPECT_THAT(left, ElementsAre(".git: hidden folder", ".hidden: hidden file", "@eaDir: system folder",
                                "pipe.jpg: special file"));
  // A pipe would keep whoever opens it until something is written.
  EXPECT_FALSE(tree->is_file("pipe.jpg"));
  EXPECT_THAT(message_of<DataError>([&] { tree->read("pipe.jpg"); }), HasSubstr("expected a readable file"));
  EXPECT_THAT(message_of<DataError>([&] { tree->map("pipe.jpg"); }), HasSubstr("expected a readable file"));
}

TEST(FileTree, ReadsAChangedArchiveAnew) {
  const TemporaryFolder folder;
  write_archive(folder / "x.zip", {{"a.txt", "one"}, {"b.txt", ""}});
  EXPECT_EQ(content(*open_file_tree(folder / "x.zip"), "a.txt"), "one");
  write_archive(folder / "x.zip", {{"a.txt", "three"}, {"b.txt", ""}});
  EXPECT_EQ(content(*open_file_tree(folder / "x.zip"), "a.txt"), "three");
}

/// Archives that are refused when they are opened, with part of the line.
TEST(FileTree, RefusesBadArchives) {
  const TemporaryFolder folder;
  const auto message = [&](const std::string& name) {
    const auto text = message_of<DataError>([&] { open_file_tree(folder / name); });
    EXPECT_THAT(text, HasSubstr(name));
    EXPECT_EQ(text.find('\n'), std::string::npos);
    return text;
  };
  write_archive(folder / "up.tar", {{"../evil.txt", "x"}});
  EXPECT_THAT(message("up.tar"), HasSubstr("leaves the archive"));
  write_archive(folder / "absolute.zip", {{"/etc/evil.txt", "x"}});
  EXPECT_THAT(message("absolute.zip"), HasSubstr("leaves the archive"));
  write_archive(folder / "link.tar", {{"a.txt", "", "../../etc/passwd"}});
  EXPECT_THAT(message("link.tar"), HasSubstr("link 'a.txt' out of the archive"));
  write_archive(folder / "dangling.tar", {{"a.txt", "", "b.txt"}});
  EXPECT_THAT(message("dangling.tar"), HasSubstr("not in the archive"));
  write_archive(folder / "circle.tar", {{"a.txt", "", "b.txt"}, {"b.txt", "", "a.txt"}, {"c.txt", "x"}});
  EXPECT_THAT(message("circle.tar"), HasSubstr("links that lead in a circle"));
  write_archive(folder / "absolute.tar", {{"a.txt", "", "/etc/passwd"}});
  EXPECT_THAT(message("absolute.tar"), HasSubstr("link 'a.txt' out of the archive, to '/etc/passwd'"));
  write_archive(folder / "empty.tar", {});
  EXPECT_THAT(message("empty.tar"), HasSubstr("holds no files"));
  write_file(folder / "text.zip", "this is no archive");
  EXPECT_THAT(message("text.zip"), HasSubstr("archive"));
  write_file(folder / "nothing.tgz", "");
  EXPECT_THAT(message("nothing.tgz"), HasSubstr("archive"));

  for (const char* name : {"cut.tar", "cut.tar.gz", "cut.zip"}) {
    write_archive(folder / name, kFiles);
    const std::string whole = test::read_file(folder / name);
    write_file(folder / name, whole.substr(0, whole.size() / 2));
    EXPECT_THAT(message(name), HasSubstr("damaged or truncated"));
  }
}

TEST(FileTree, RefusesAnArchiveThatUnpacksToAbsurdSize) {
  const TemporaryFolder folder;
  write_archive(folder / "bomb.zip", {{"a.txt", std::string(200 << 20, '\0')}});
  EXPECT_LT(std::filesystem::file_size(folder / "bomb.zip"), 1u << 20);
  EXPECT_THAT(message_of<DataError>([&] { open_file_tree(folder / "bomb.zip"); }),
              HasSubstr("unpacks to more than 100 times its size"));
}

TEST(FileTree, AGivenPathThatIsNothingIsTheCallersMistake) {
  const TemporaryFolder folder;
  write_file(folder / "notes.txt", "x");
  EXPECT_THAT(message_of<UsageError>([&] { open_file_tree(folder / "absent.zip"); }),
              HasSubstr("absent.zip' does not exist"));
  EXPECT_THAT(message_of<UsageError>([&] { open_file_tree(folder / "notes.txt"); }),
              HasSubstr("not a folder and not an archive"));
}

TEST(SpillFile, GivesBackWhatItWasGiven) {
  SpillFile file;
  file.append("one");
  const FileBytes early = file.map();
  file.append(std::string(100'000, 'x'));
  EXPECT_EQ(file.size(), 100'003u);
  EXPECT_EQ(file.map().view.substr(0, 4), "onex");
  EXPECT_EQ(early.view, "one");
}

TEST(NamedCopy, IsThereUntilReleased) {
  std::filesystem::path path;
  {
    const auto named = named_copy("bytes");
    path = *named;
    EXPECT_EQ(test::read_file(path), "bytes");
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

}  // namespace
}  // namespace fewatoms
