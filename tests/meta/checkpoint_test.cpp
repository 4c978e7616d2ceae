// What a checkpoint may hold, and what a full disk leaves of it.

#include "meta/checkpoint.h"

#include "backbones/safetensors.h"
#include "episodes/errors.h"
#include "tests/disk.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

using test::message_of;
using test::TemporaryFolder;

struct Saved {
  Saved() : learner(test::small_options("acdc"), state.parameters) {
    state.iteration = 7;
    state.best_iteration = 5;
    state.best_accuracy = 0.5;
    state.last_validation = 6;
    save_checkpoint(path, state);
  }
  TemporaryFolder folder;
  std::filesystem::path path = folder / "last.safetensors";
  TrainState state;
  Learner learner;
};

TEST(Checkpoint, AFullDiskIsNoticedAndKeepsTheOldOne) {
  Saved saved;
  const std::string before = test::read_file(saved.path);
  saved.state.iteration = 8;
  const std::string message = message_of<DataError>([&] {
    const test::FileSizeLimit limit(before.size() / 2);
    save_checkpoint(saved.path, saved.state);
  });
  EXPECT_NE(message.find("cannot write '" + saved.path.string() + "'"), std::string::npos) << message;
  EXPECT_EQ(test::read_file(saved.path), before);
  EXPECT_EQ(test::names_in(saved.folder.path()), std::vector<std::string>{"last.safetensors"});
}

TEST(Checkpoint, CountersThatCannotBeAreRefused) {
  const Saved saved;
  const std::string whole = test::read_file(saved.path);
  const auto with = [&](const std::string& key, const std::string& value) {
    test::write_file(saved.path, whole);
    SafeTensors contents = read_safetensors(saved.path);
    contents.metadata[key] = value;
    contents.metadata["moments"] = "none";
    write_safetensors(saved.path, contents);
  };
  const std::pair<const char*, std::vector<const char*>> wrong[] = {
      {"iteration", {"-1", "1.5", "99999999999999999999", "0x7"}},
      {"best_iteration", {"-1", "8"}},
      {"last_validation", {"-1", "8"}},
      {"best_accuracy", {"nan", "inf", "-0.5", "50", "1.01"}},
      {"seconds", {"nan", "inf", "-1"}}};
  for (const auto& [key, values] : wrong)
    for (const char* value : values) {
      with(key, value);
      const std::string message =
          message_of<DataError>([&] { load_checkpoint(saved.path, saved.state.parameters.schema()); });
      EXPECT_NE(message.find("metadata '" + std::string(key) + "' is"), std::string::npos) << value << ": " << message;
      EXPECT_NE(message.find(saved.path.string()), std::string::npos) << message;
    }
  const std::pair<const char*, const char*> right[] = {
      {"best_iteration", "0"}, {"last_validation", "7"}, {"best_accuracy", "-1"}, {"best_accuracy", "1"}};
  for (const auto& [key, value] : right) {
    with(key, value);
    EXPECT_NO_THROW(load_checkpoint(saved.path, saved.state.parameters.schema())) << key << " " << value;
  }
}

}  // namespace
}  // namespace fewatoms
