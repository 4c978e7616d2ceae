#include <cstdint>

#include "tests/apps/program.h"

// Every mistake costs one clear line and the right exit code, and nothing that was there is lost.
namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;

/// Refusals of new runs: none of them may leave a folder behind.
void expect_refused_trainings(std::vector<Refusal> refusals) {
  const TemporaryFolder folder;
  for (Refusal& refusal : refusals) refusal.arguments = small_training(folder / "runs" / "new", refusal.arguments);
  expect_refusals(refusals);
  EXPECT_TRUE(fs::is_empty(folder.path())) << "a refused run left a folder";
}

TEST(BadInput, UnknownNamesAreAnsweredWithTheNearestOne) {
  expect_refused_trainings({
      {{"--inner-step", "2"}, {"unknown option '--inner-step'", "'--inner-steps'"}},
      {{"--method", "acdc-mamml"}, {"unknown method 'acdc-mamml'", "did you mean 'acdc-maml'"}},
      {{"--scope", "atoms"}, {"unknown", "'atoms'", "did you mean 'atom'"}},
      {{"--dataset", "omniglott", "--data-root", "."}, {"'omniglott'", "did you mean 'omniglot'"}},
  });
  expect_refusals({
      {{"trian", "--out", "run"}, {"'trian'", "did you mean 'train'"}},
      {{"dataset", "inspekt", "strokes"}, {"'inspekt'", "'inspect'"}},
      {{}, {"command is missing", "train", "eval"}},
      {{"train", "--method", "maml"}, {"--out"}},
  });
}

TEST(BadInput, NumbersOutOfRangeAreRefused) {
  expect_refused_trainings({
      {{"--ways", "1"}, {"--ways", "'1'", "from 2"}},
      {{"--inner-lr", "nan"}, {"inner rate", "nan"}},
      {{"--outer-lr", "0.1,"}, {"outer rate"}},
      {{"--weight-decay", "nan"}, {"--weight-decay", "'nan'"}},
      {{"--iterations", "1e3x"}, {"--iterations", "'1e3x'", "whole number"}},
      {{"--seed", "18446744073709551616"}, {"--seed", "'18446744073709551616'", "from 0 to 18446744073709551615"}},
      {{"--width", "0x10"}, {"--width", "'0x10' is not a whole number from 1 to 1024"}},
      {{"--clip-norm", "0,5"}, {"--clip-norm", "'0,5' is not a number from 0 to 1e+09"}},
      {{"--queries", "15..5"}, {"--queries", "'15..5'", "the smaller first"}},
  });
}

TEST(BadInputSlow, EveryRangeIsChecked) {
  expect_refused_trainings({
      {{"--ways", "2.5"}, {"--ways", "'2.5'"}},
      {{"--ways", "nan"}, {"--ways", "'nan'"}},
      {{"--ways", ""}, {"--ways"}},
      {{"--shots", "0"}, {"--shots", "'0'"}},
      {{"--queries", "0"}, {"--queries", "'0'"}},
      {{"--queries", "99999999999999999999"}, {"--queries"}},
      {{"--meta-batch", "0"}, {"--meta-batch"}},
      {{"--iterations", "0"}, {"--iterations"}},
      {{"--seed", "-1"}, {"--seed"}},
      {{"--inner-steps", "-1"}, {"--inner-steps", "'-1'"}},
      {{"--inner-steps", "1001"}, {"--inner-steps", "'1001'"}},
      {{"--inner-lr", "0"}, {"inner rate"}},
      {{"--inner-lr", "atom=0.1"}, {"inner rate", "'head'"}},
      {{"--inner-lr", "0.1,atom=-1"}, {"inner rate", "'-1'"}},
      {{"--inner-lr", "0.1,kernel=1"}, {"inner rate", "'kernel'"}},
      {{"--outer-lr", "inf"}, {"outer rate", "inf"}},
      {{"--lr-gamma", "0"}, {"--lr-gamma"}},
      {{"--lr-gamma", "1.5"}, {"--lr-gamma"}},
      {{"--clip-norm", "-1"}, {"--clip-norm"}},
      {{"--width", "0"}, {"--width"}},
      {{"--width", "1000000000"}, {"--width"}},
      {{"--atoms", "10"}, {"10", "9"}},
      {{"--atoms", "0"}, {"--atoms"}},
      {{"--image-size", "7"}, {"image size", "7"}},
      {{"--image-size", "8"}, {"image size is 8", "28 to 224"}},
      {{"--channels", "2"}, {"channels", "2"}},
      {{"--threads", "-1"}, {"--threads"}},
      {{"--eval-inner-steps", "5,1", "--val-every", "1"}, {"ascend"}},
      {{"--eval-inner-steps", "x"}, {"eval-inner-steps", "'x'"}},
      {{"--val-every", "-1"}, {"--val-every"}},
      {{"--val-from-train", "160"}, {"160"}},
  });
}

TEST(BadInput, WhatContradictsOrSelectsNothingIsRefused) {
  expect_refused_trainings({
      {{"--method", "fomaml", "--order", "second"}, {"fomaml", "'first'", "'second'"}},
      {{"--method", "maml", "--scope", "atom"}, {"scope 'atom'", "no 'atom' parameters"}},
      {{"--scope", "none"}, {"scope 'none'", "inner steps is 1"}},
      {{"--method", "maml", "--atoms", "3"}, {"--atoms", "--conv acdc"}},
      {{"--ways", "161"}, {"161", "160 classes"}},
      {{"--shots", "150", "--queries", "51"}, {"200 images", "201"}, 1},
      {{"--ways", "160", "--queries", "199", "--width", "256", "--image-size", "84"},
       {"160 ways", "takes about", "GiB", "there are"}},
  });
}

TEST(BadInputSlow, EveryContradictionIsRefused) {
  expect_refused_trainings({
      {{"--conv", "standard"}, {"acdc-maml", "'standard'"}},
      {{"--method", "anil", "--scope", "all"}, {"anil", "'head'", "'all'"}},
      {{"--method", "protonet", "--inner-steps", "0", "--head", "linear"}, {"protonet", "'prototype'"}},
      {{"--method", "protonet"}, {"scope 'none'", "inner steps is 1"}},
      {{"--method", "acdc-proto", "--scope", "head"}, {"scope 'head'"}},
      {{"--method", "maml", "--atoms", "3"}, {"--atoms", "--conv acdc"}},
      {{"--scope", "atom+atom"}, {"'atom' twice"}},
      {{"--scope", "atom+"}, {"scope"}},
      {{"--scope", "statistic"}, {"'statistic'"}},
      {{"--crop", "bbox"}, {"bbox", "strokes"}},
      {{"--split-rule", "ravi"}, {"split rule 'ravi'", "strokes"}},
      {{"--val-every", "1", "--eval-ways", "4"}, {"linear head", "4"}},
      {{"--val-every", "1", "--eval-shots", "200"}, {"200 images"}, 1},
      {{"surplus"}, {"surplus"}},
      {{"--ways"}, {"--ways"}},
  });
}

TEST(BadInput, ConfigurationFilesNameTheirMistake) {
  const TemporaryFolder folder;
  const auto config = [&](const std::string& name, const std::string& text) {
    write_file(folder / name, text);
    return Arguments{"--config", (folder / name).string()};
  };
  expect_refused_trainings({
      {config("key.toml", "inner-stepz = 5\n"), {"key.toml", "unknown key 'inner-stepz'", "'inner-steps'"}},
      {config("broken.toml", "ways = 5\nshots = = 1\n"), {"broken.toml", "line 2"}},
      {config("type.toml", "scope = ['atom', 'head']\n"), {"type.toml", "'scope'"}},
      {config("value.toml", "order = 'third'\n"), {"order", "'third'"}},
      {{"--config", (folder / "none.toml").string()}, {"no configuration file", "none.toml"}},
  });
  const fs::path run = copy_of_shared_run(folder);
  write_file(run / "config.toml", "method = 'acdc-maml\nways");
  expect_refusals({{{"eval", run.string()}, {"config.toml", "line 1"}},
                   {{"train", "--resume", "--out", run.string()}, {"config.toml", "line 1"}}});
}

TEST(BadInput, PathsThatAreNotThereAreRefused) {
  const TemporaryFolder folder;
  write_file(folder / "file", "");
  const std::string nowhere = (folder / "nowhere").string(), file = (folder / "file").string();
  expect_refused_trainings({
      {{"--dataset", "mini-imagenet"}, {"mini-imagenet", "data root"}},
      {{"--dataset", "omniglot", "--data-root", nowhere}, {nowhere, "does not exist"}},
      {{"--dataset", "cub", "--data-root", file}, {file, "not a folder"}},
      {{"--dataset", "cub", "--data-root", folder.path().string()}, {folder.path().string(), "cub"}},
  });
  expect_refusals({{small_training(folder / "file" / "run"), {"cannot make folder", file}}});
  EXPECT_EQ(read_file(folder / "file"), "");
}

TEST(BadInput, ACheckpointThatIsNotWholeOrNotItsOwnIsRefusedAndKept) {
  const TemporaryFolder folder;
  const std::string good = read_file(shared_run().path / "last.safetensors");
  std::string noise(4096, '\0'), huge(16, ' ');
  uint64_t state = 1;
  for (char& c : noise) c = static_cast<char>((state = state * 6364136223846793005U + 1442695040888963407U) >> 56);
  const uint64_t gigabytes = uint64_t{8} << 30;
  std::memcpy(huge.data(), &gigabytes, sizeof gigabytes);
  SafeTensors other = read_safetensors(shared_run().path / "last.safetensors");
  other.tensors["head.bias"] = torch::zeros({5});
  write_safetensors(folder / "other", other);

  std::vector<Refusal> refusals;
  const auto damaged = [&](const std::string& name, const std::string& bytes) {
    const fs::path run = copy_of_shared_run(folder, name);
    write_file(run / "last.safetensors", bytes);
    return run.string();
  };
  const auto resumed = [](const std::string& run) {
    return Arguments{"train", "--out", run, "--resume", "--iterations", "9", "--threads", "1"};
  };
  const std::string file = "last.safetensors' is not a whole safetensors file";
  refusals.push_back({{"eval", damaged("cut", good.substr(0, good.size() - 1)), "--checkpoint", "last"}, {file}, 1});
  refusals.push_back({resumed(damaged("empty", "")), {file, "0 bytes"}, 1});
  refusals.push_back({resumed(damaged("noise", noise)), {file}, 1});
  refusals.push_back({resumed(damaged("huge", huge)), {file, std::to_string(gigabytes)}, 1});
  refusals.push_back({resumed(damaged("other-shape", read_file(folder / "other"))),
                      {"another architecture", "'head.bias' is [5], [3] was expected"}});
  const auto before = contents(folder.path());
  expect_refusals(refusals);
  EXPECT_EQ(contents(folder.path()), before);
}

/// Two classes of two images each: an episode of 2 ways, 1 shot and 1 query uses them all.
Arguments photo_training(const TemporaryFolder& folder, const fs::path& root) {
  return small_training(folder / "run", {"--dataset", "folders", "--data-root", root.string(), "--image-size", "28",
                                         "--ways", "2", "--queries", "1", "--quiet"});
}

TEST(BadInput, DamagedImagesAreBadDataAndNamed) {
  std::vector<std::unique_ptr<TemporaryFolder>> folders;
  std::vector<Refusal> refusals;
  for (const std::string damage : {"cut", "empty", "text"}) {
    folders.push_back(std::make_unique<TemporaryFolder>());
    const fs::path root = *folders.back() / "photos", image = root / "train" / "class1" / "0.jpg";
    write_class_folders(root, 2, 2, ".jpg");
    const std::string whole = read_file(image);
    write_file(image, damage == "cut" ? whole.substr(0, whole.size() / 2) : damage == "text" ? "not an image\n" : "");
    refusals.push_back({photo_training(*folders.back(), root), {"'" + image.string() + "'"}, 1});
  }
  expect_refusals(refusals);
}

TEST(BadInput, AClassWithTooFewImagesIsNamed) {
  const TemporaryFolder folder;
  write_class_folders(folder / "photos", 3, 2);
  fs::remove(folder / "photos" / "train" / "class1" / "1.png");
  expect_refusals({{photo_training(folder, folder / "photos"), {"class1", "1 image", "2 are needed"}, 1}});
  EXPECT_FALSE(fs::exists(folder / "run"));
}

TEST(BadInput, ARowWhoseImageIsMissingIsBadDataAndNamed) {
  const TemporaryFolder folder;
  write_file(folder / "train.csv", "filename,label\na.png,n01\nb.png,n01\n");
  write_image(folder / "images" / "a.png");
  const std::string root = folder.path().string();
  expect_refusals(
      {{small_training(folder / "run", {"--dataset", "mini-imagenet", "--data-root", root}),
        {"train.csv' line 3", "'b.png'"},
        1},
       {{"dataset", "inspect", "mini-imagenet", "--data-root", root}, {"train.csv' line 3", "'b.png'"}, 1}});
  EXPECT_FALSE(fs::exists(folder / "run"));
}

}  // namespace
}  // namespace fewatoms::test
