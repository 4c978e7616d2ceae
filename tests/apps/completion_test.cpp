#include <cstdlib>

#include "tests/apps/program.h"

// What shells and man know of the program.
namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

bool installed(const std::string& program) {
  return std::system(("command -v " + program + " >/dev/null").c_str()) == 0;
}

/// What `cmake --install` puts below share/, made at first use: completions and the manual page.
fs::path installed_file(const std::string& name) {
  static const TemporaryFolder folder;
  static const std::string log =
      shell("cmake --install " + fs::path(FEWATOMS_PROGRAM).parent_path().parent_path().string() + " --prefix " +
            folder.path().string() + " 2>&1");
  EXPECT_TRUE(fs::exists(folder / "bin" / "fewatoms")) << log;
  EXPECT_TRUE(fs::exists(folder / "share" / name)) << log;
  return folder / "share" / name;
}

TEST(Completion, BashOffersCommandsOptionsAndChoices) {
  const std::string file = installed_file("bash-completion/completions/fewatoms").string();
  const auto offered = [&](const std::string& words) {  // the last word is completed
    return shell("bash --norc -c '. " + file + "; COMP_WORDS=(" + words +
                 "); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _fewatoms; echo \"${COMPREPLY[*]}\"' 2>&1");
  };
  EXPECT_EQ(offered("fewatoms tr"), "train\n");
  EXPECT_EQ(offered("fewatoms train --method acdc"), "acdc-maml acdc-meta-sgd acdc-proto\n");
  EXPECT_EQ(offered("fewatoms train --backbone = resnet12"), "resnet12 resnet12-basic\n");
  EXPECT_EQ(offered("fewatoms train --backbone ="), "conv4 conv6 resnet10 resnet12 resnet12-basic resnet18\n");
  EXPECT_EQ(offered("fewatoms train --outer-m"), "--outer-momentum\n");
  EXPECT_EQ(offered("fewatoms eval some/run --checkpoint \"\""), "best last\n");
  EXPECT_EQ(offered("fewatoms dataset in"), "inspect\n");
  EXPECT_EQ(offered("fewatoms dataset inspect mini"), "mini-imagenet\n");
  EXPECT_EQ(offered("fewatoms export run --format t"), "torchscript\n");
  EXPECT_EQ(offered("fewatoms train --out \"\""), "\n") << "files are the shell's own matter";
}

TEST(Completion, ZshAndFishReadTheirs) {
  const TemporaryFolder folder;
  for (const std::string name : {"zsh", "fish"}) {
    if (!installed(name)) {
      std::cout << "no " << name << " here: its completion is not checked\n";
      continue;
    }
    const std::string file =
        installed_file(name == "zsh" ? "zsh/site-functions/_fewatoms" : "fish/vendor_completions.d/fewatoms.fish")
            .string();
    EXPECT_EQ(shell(name + (name == "zsh" ? " -f" : " --no-config") + " -n " + file + " 2>&1"), "");
    if (name == "zsh") continue;
    const auto offered = [&](const std::string& line) {
      return shell("HOME=" + folder.path().string() + " fish --no-config -c 'source " + file + "; complete -C \"" +
                   line + "\"' 2>&1");
    };
    EXPECT_THAT(offered("fewatoms train --method acdc-"), HasSubstr("acdc-maml"));
    EXPECT_THAT(offered("fewatoms dataset ins"), HasSubstr("inspect"));
    EXPECT_THAT(offered("fewatoms train --outer-mom"), HasSubstr("--outer-momentum"));
    EXPECT_THAT(offered("fewatoms predict --wid"), ::testing::Not(HasSubstr("--width")));
  }
}

TEST(Completion, TheManualPageIsSoundAndHasEveryCommandAndOption) {
  if (!installed("groff")) GTEST_SKIP() << "no groff";
  const std::string file = installed_file("man/man1/fewatoms.1").string();
  EXPECT_EQ(shell("groff -man -ww -Tutf8 " + file + " 2>&1 >/dev/null"), "");
  const std::string page = shell("groff -man -Tascii -P-cbou " + file + " 2>&1");
  for (const char* word : {"fewatoms train", "fewatoms dataset inspect", "--inner-steps INT", "--scope TEXT",
                           "--dry-run", "torchscript", "EXIT STATUS"})
    EXPECT_THAT(page, HasSubstr(word));
}

TEST(Completion, AnUnknownShellIsRefused) {
  expect_refusals({{{"completion", "tcsh"}, {"tcsh", "bash"}}, {{"completion"}, {"SHELL"}}});
}

}  // namespace
}  // namespace fewatoms::test
