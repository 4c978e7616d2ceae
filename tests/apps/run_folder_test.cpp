#include <fcntl.h>
#include <sys/file.h>

#include "tests/apps/program.h"

// Run folders that several processes want, signals, and disks that are full.
namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

Arguments tiny_training(const fs::path& out, const Arguments& more = {}) {
  return small_training(out, Arguments{"--method", "protonet", "--inner-steps", "0", "--width", "4", "--queries", "1",
                                       "--meta-batch", "1", "--log-level", "off"} +
                                 more);
}

/// Holds the lock of a folder as another process of the program would.
class HeldLock {
 public:
  explicit HeldLock(const fs::path& folder) {
    write_file(folder / ".lock", "a training, process 4711 on elsewhere\n");
    file_ = ::open((folder / ".lock").c_str(), O_RDWR | O_CLOEXEC);
    if (::flock(file_, LOCK_EX | LOCK_NB) != 0) ADD_FAILURE() << "no lock";
  }
  ~HeldLock() { ::close(file_); }
  HeldLock(const HeldLock&) = delete;
  HeldLock& operator=(const HeldLock&) = delete;

 private:
  int file_;
};

TEST(RunFolder, OnlyOneProcessAtATimeWorksInIt) {
  const TemporaryFolder folder;
  const fs::path run = copy_of_shared_run(folder);
  fs::create_directories(folder / "new");
  write_file(folder / "grid.toml", "width = 8\niterations = 1\nval-every = 0\n");
  {
    const HeldLock of_run(run), of_new(folder / "new");
    const std::string holder = "is in use by a training, process 4711 on elsewhere";
    expect_refusals({
        {{"train", "--resume", "--out", run.string(), "--iterations", "9"}, {run.string(), holder}},
        {tiny_training(folder / "new"), {holder}},
        {{"compare", "--config", (folder / "grid.toml").string(), "--out", (folder / "new").string()}, {holder}},
    });
    EXPECT_FALSE(fs::exists(folder / "new" / "config.toml"));
  }
  // A lock that nobody holds any more is no obstacle, and goes away with the next run's end.
  run_well(tiny_training(folder / "new", {"--quiet"}));
  EXPECT_FALSE(fs::exists(folder / "new" / ".lock"));
}

TEST(RunFolder, OfTwoTrainingsIntoOneFolderOneIsRefused) {
  const TemporaryFolder folder;
  Running first(tiny_training(folder / "run", {"--iterations", "300", "--seed", "1"})),
      second(tiny_training(folder / "run", {"--iterations", "300", "--seed", "2"}));
  const Finished a = first.wait(), b = second.wait();
  EXPECT_EQ(std::min(a.code, b.code), 0) << a.err << b.err;
  EXPECT_EQ(std::max(a.code, b.code), 2) << a.err << b.err;
  EXPECT_THAT(read_file(folder / "run" / "config.toml"), HasSubstr(a.code == 0 ? "\nseed = 1\n" : "\nseed = 2\n"));
}

TEST(RunFolder, WhereNoLockCanBeHadTheRunSaysSo) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "run" / ".lock");  // no file can be made there
  EXPECT_THAT(run_well(tiny_training(folder / "run")).err,
              HasSubstr("note: '" + (folder / "run").string() + "' cannot be locked"));
  write_file(folder / "grid.toml", "width = 8\niterations = 1\nval-every = 0\n");
  fs::create_directories(folder / "out" / ".lock");
  EXPECT_THAT(run_well({"compare", "--config", (folder / "grid.toml").string(), "--out", (folder / "out").string(),
                        "--report-episodes", "0"})
                  .err,
              HasSubstr("cannot be locked"));
}

TEST(Signals, AHangupStopsATrainingAsATerminationDoes) {
  const TemporaryFolder folder;
  Running stopped(tiny_training(folder / "run", {"--iterations", "1000000"}));
  ASSERT_TRUE(stopped.wait_until([&] { return stopped.err().find("protonet on strokes") != std::string::npos; }));
  stopped.send(SIGHUP);
  const Finished finished = stopped.wait();
  EXPECT_EQ(finished.code, 128 + SIGHUP);
  EXPECT_THAT(finished.err, HasSubstr("--resume continues"));
  EXPECT_GT(std::stoll(read_safetensors(folder / "run" / "last.safetensors").metadata.at("iteration")), 0);
  EXPECT_FALSE(fs::exists(folder / "run" / ".lock"));
}

TEST(Signals, OtherCommandsEndAtOnceAndLeaveNothingHalfWritten) {
  const TemporaryFolder folder;
  const std::string run = shared_run().path.string();
  const auto path = [&](const char* name) { return (folder / name).string(); };
  Running eval(
      {"eval", run, "--episodes", "30000", "--json", path("eval.json"), "--save-episodes", path("drawn.json")});
  ASSERT_TRUE(eval.wait_until([&] { return fs::exists(path("drawn.json")); }));
  eval.send(SIGTERM);
  EXPECT_EQ(eval.wait().code, 128 + SIGTERM);
  EXPECT_TRUE(fs::remove(path("drawn.json")));
  Running speed({"speed", run, "--episodes", "1000000", "--json", path("speed.json")});
  Running report({"report", run, "--episodes", "100000", "--out", path("page.html")});
  ASSERT_TRUE(speed.wait_until([&] { return speed.err().find("accuracy by inner steps") != std::string::npos; }));
  speed.send(SIGTERM);
  EXPECT_EQ(speed.wait().code, 128 + SIGTERM);
  ASSERT_TRUE(report.wait_until([&] { return report.err().find("episodes") != std::string::npos; }));
  report.send(SIGINT);
  EXPECT_EQ(report.wait().code, 128 + SIGINT);
  EXPECT_TRUE(fs::is_empty(folder.path()));

  Running pack({"dataset", "pack", "strokes", "--image-size", "64", "--out", path("strokes.pack")});
  ASSERT_TRUE(pack.wait_until([&] { return !fs::is_empty(folder.path()); }));
  EXPECT_FALSE(fs::exists(path("strokes.pack")));
  pack.send(SIGHUP);
  EXPECT_EQ(pack.wait().code, 128 + SIGHUP);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

/// Runs the program where no file may be longer than so many KiB, as on a full disk.
Finished run_with_little_room(const TemporaryFolder& folder, int kib, const Arguments& arguments) {
  std::string command = "trap '' XFSZ; ulimit -f " + std::to_string(2 * kib) + "; exec '" FEWATOMS_PROGRAM "'";
  for (const std::string& word : arguments) command += " '" + word + "'";
  const std::string err = (folder / "err").string();
  const int status = std::system(("sh -c \"" + command + "\" 2>'" + err + "'").c_str());
  return {WEXITSTATUS(status), "", read_file(err)};
}

TEST(FullDisk, MetricsAndEventsThatCannotBeWrittenEndTheRun) {
  const TemporaryFolder folder;
  const fs::path run = folder / "run";
  run_well(tiny_training(run, {"--log-level", "scalars", "--quiet"}));
  const auto fill = [](const fs::path& file, size_t bytes) {  // with what it holds, as a longer run would
    const std::string once = read_file(file);
    std::string text = once;
    while (text.size() + once.size() < bytes) text += once;
    write_file(file, text);
  };
  const Arguments resumed = {"train", "--resume", "--out", run.string(), "--iterations", "200", "--quiet"};
  const std::string events = read_file(run / "events.out.tfevents.fewatoms");
  fill(run / "metrics.jsonl", 200 * 1024 - 200);
  const Finished metrics = run_with_little_room(folder, 200, resumed + Arguments{"--log-level", "off"});
  EXPECT_EQ(metrics.code, 1);
  EXPECT_THAT(metrics.err, HasSubstr("cannot write '" + (run / "metrics.jsonl").string() + "': "));
  EXPECT_EQ(std::count(metrics.err.begin(), metrics.err.end(), '\n'), 1);

  write_file(run / "metrics.jsonl", "");
  fill(run / "events.out.tfevents.fewatoms", 200 * 1024 - 200);
  const Finished logged = run_with_little_room(folder, 200, resumed + Arguments{"--log-level", "scalars"});
  EXPECT_EQ(logged.code, 1);
  EXPECT_THAT(logged.err, HasSubstr("cannot write '" + (run / "events.out.tfevents.fewatoms").string() + "': "));

  write_file(run / "events.out.tfevents.fewatoms", events);
  const Finished checkpoint = run_with_little_room(folder, 4, resumed);
  EXPECT_EQ(checkpoint.code, 1);
  EXPECT_THAT(checkpoint.err, HasSubstr("cannot write '"));
  run_well(resumed);  // the checkpoint is as it was
}

TEST(FullDisk, ATableThatCannotBePrintedIsAFailure) {
  const std::string command = FEWATOMS_PROGRAM " info --backbone conv4 >/dev/full 2>/dev/null";
  EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), 1);
}

TEST(ProcessPool, ACompareWhoseChildrenAreReapedElsewhereEnds) {
  const TemporaryFolder folder;
  write_file(folder / "grid.toml",
             "method = 'protonet'\nwidth = 4\nqueries = 1\nmeta-batch = 1\niterations = 1\n"
             "val-every = 0\n[[target]]\nepisodes = 2\n");
  shell("trap '' CHLD; exec timeout 100 " FEWATOMS_PROGRAM " compare --config " + (folder / "grid.toml").string() +
        " --out " + (folder / "out").string() + " --report-episodes 0 2>&1");
  EXPECT_TRUE(fs::exists(folder / "out" / "table.json"));
}

}  // namespace
}  // namespace fewatoms::test
