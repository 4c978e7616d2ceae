#include <fstream>
#include <regex>

#include "apps/settings.h"
#include "tests/apps/program.h"

// What people read: help texts, the README and the pages of docs/.
namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// Begins with a capital or a number, ends with a full stop, and holds at least three words.
bool is_sentence(const std::string& text) {
  if (text.empty() || !text.ends_with('.')) return false;
  const auto first = static_cast<unsigned char>(text.front());
  return (std::isupper(first) != 0 || std::isdigit(first) != 0) && std::count(text.begin(), text.end(), ' ') >= 2;
}

/// Files in Markdown, by their path from the source folder.
std::map<std::string, std::string> pages() {
  std::map<std::string, std::string> found;
  const fs::path root = FEWATOMS_SOURCE_DIR;
  const auto add = [&](const fs::path& file) {
    if (file.extension() == ".md") found[fs::relative(file, root).generic_string()] = read_file(file);
  };
  for (const auto& entry : fs::directory_iterator(root)) add(entry.path());
  for (const auto& entry : fs::recursive_directory_iterator(root / "docs")) add(entry.path());
  return found;
}

/// Lines outside of code blocks.
std::vector<std::string> prose(const std::string& page) {
  std::vector<std::string> lines;
  std::istringstream all(page);
  bool code = false;
  for (std::string line; std::getline(all, line);) {
    if (line.starts_with("```"))
      code = !code;
    else if (!code && !line.starts_with("    "))
      lines.push_back(line);
  }
  return lines;
}

/// What GitHub makes of a heading: lower case, words joined by hyphens, marks left out.
std::string anchor(const std::string& heading) {
  std::string made;
  for (const char c : std::regex_replace(heading, std::regex("\xC3\x97|\xE2\x80\x93|\xE2\x80\xA6"), "")) {
    const auto u = static_cast<unsigned char>(c);
    if (std::isalnum(u) != 0 || u >= 0x80U || c == '_' || c == '-') made += static_cast<char>(std::tolower(u));
    if (c == ' ') made += '-';
  }
  return made;
}

std::set<std::string> anchors(const std::string& page) {
  std::set<std::string> made;
  std::smatch match;
  for (const std::string& line : prose(page))
    if (std::regex_match(line, match, std::regex("#+ (.*)"))) made.insert(anchor(match[1]));
  return made;
}

TEST(Words, EveryOptionAndCommandIsDescribedByASentence) {
  const std::string fish = run_well({"completion", "fish"}).out;  // one line for each, with its description behind -d
  int described = 0;
  std::istringstream lines(fish);
  for (std::string line; std::getline(lines, line);) {
    const size_t at = line.find(" -d '");
    if (!line.starts_with("complete ") || at == std::string::npos) continue;
    const std::string text = line.substr(at + 5, line.size() - at - 6);
    EXPECT_TRUE(is_sentence(text)) << line;
    ++described;
  }
  EXPECT_GT(described, 300);
  Settings any;
  for_each_option(any, [](const OptionText& option, auto&) {  // before the choices are added
    EXPECT_TRUE(is_sentence(option.help)) << option.name << ": " << option.help;
  });
}

TEST(Words, EveryLinkOfADocumentLeadsSomewhere) {
  const auto all = pages();
  EXPECT_GE(all.size(), 20U);
  const std::regex link("\\]\\(([^)#]*)(#([^)]*))?\\)");
  for (const auto& [name, text] : all)
    for (const std::string& line : prose(text))
      for (std::sregex_iterator m(line.begin(), line.end(), link), end; m != end; ++m) {
        const std::string target = (*m)[1], part = (*m)[3];
        if (target.find("://") != std::string::npos) continue;
        const fs::path file =
            target.empty() ? fs::path(name) : (fs::path(name).parent_path() / target).lexically_normal();
        EXPECT_TRUE(fs::exists(fs::path(FEWATOMS_SOURCE_DIR) / file)) << name << ": " << line;
        if (const auto page = all.find(file.generic_string()); !part.empty() && page != all.end()) {
          EXPECT_TRUE(anchors(page->second).contains(part)) << name << ": no heading #" << part << " in " << file;
        }
      }
}

TEST(Words, TheIndexNamesEveryPage) {
  const auto all = pages();
  ASSERT_TRUE(all.contains("docs/README.md"));
  for (const auto& [name, text] : all)
    if (name.starts_with("docs/") && name != "docs/README.md") {
      EXPECT_THAT(all.at("docs/README.md"), HasSubstr("](" + name.substr(5) + ")"));
    }
}

// A bar ends a table's cell on GitHub, also in code, unless a backslash stands before it.
TEST(Words, RowsOfATableHaveTheirHeadersCells) {
  for (const auto& [name, text] : pages()) {
    std::ptrdiff_t cells = 0;
    for (const std::string& line : prose(text)) {
      if (!line.starts_with('|')) {
        cells = 0;
        continue;
      }
      std::ptrdiff_t here = 0;
      for (size_t i = 0; i < line.size(); ++i) here += line[i] == '|' && (i == 0 || line[i - 1] != '\\');
      if (cells == 0) cells = here;
      EXPECT_EQ(here, cells) << name << ": " << line;
    }
  }
}

TEST(Words, LinesOfTheReadmeAreAtMost120CharactersLong) {
  for (const std::string& line : prose(pages().at("README.md"))) {
    if (line.starts_with('|') || line.starts_with("![")) continue;
    const auto characters = std::count_if(line.begin(), line.end(), [](char c) { return (c & 0xC0) != 0x80; });
    EXPECT_LE(characters, 120) << line;
  }
}

}  // namespace
}  // namespace fewatoms::test
