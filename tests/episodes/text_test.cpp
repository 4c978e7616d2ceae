#include "episodes/text.h"

#include <gtest/gtest.h>

#include <set>

#include "episodes/random.h"

namespace fewatoms {
namespace {

TEST(Text, PlainNamesStayAsTheyAre) {
  for (const char* name : {"", "owl", "Barn owl, 2", "p\xC3\xA8re", "\xE7\x8C\xAB", "\xF0\x9F\x90\xA6", "a\\b", "50%",
                           "C:\\photos\\x.jpg", "\\x5", "\\xe8"}) {
    EXPECT_TRUE(is_utf8(name)) << name;
    EXPECT_EQ(escaped(name), name);
    EXPECT_EQ(as_utf8(name), name);
    EXPECT_EQ(as_line(name), name);
    EXPECT_EQ(unescaped(name), name);
  }
}

TEST(Text, BytesThatAreNoUtf8AreEscaped) {
  EXPECT_EQ(escaped("p\xE8re"), "p\\xE8re");
  EXPECT_EQ(escaped("p\xE9re"), "p\\xE9re");
  EXPECT_EQ(escaped("a\nb\t\x7F"), "a\\x0Ab\\x09\\x7F");
  EXPECT_EQ(as_line("a\nb\xE8"), "a\\x0Ab\\xE8");
  EXPECT_EQ(as_utf8("a\nb\xE8"), "a\nb\\xE8");
  // Overlong, cut, a surrogate, beyond the last character, a byte that only goes on.
  for (const char* bad : {"\xC0\xAF", "\xE7\x8C", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\x80", "\xE0\x80\x80", "\xFF"})
    EXPECT_FALSE(is_utf8(bad));
  EXPECT_EQ(escaped("\xE7\x8C!"), "\\xE7\\x8C!");
}

TEST(Text, ANameThatLooksEscapedIsToldApart) {
  EXPECT_EQ(escaped("p\\xE8re"), "p\\x5CxE8re");
  EXPECT_EQ(unescaped("p\\x5CxE8re"), "p\\xE8re");
  EXPECT_EQ(as_line("p\\xE8re"), "p\\xE8re") << "text that is escaped already";
  // What escaped never makes is a name of its own: a folder x41 in a path of Windows.
  EXPECT_EQ(unescaped("photos\\x41\\1.jpg"), "photos\\x41\\1.jpg");
  EXPECT_EQ(unescaped("photos\\x00\\1.jpg"), "photos\\x00\\1.jpg");
}

TEST(Text, EveryNameComesBackAndNoTwoBecomeOne) {
  Random random{5};
  std::set<std::string> names, texts;
  const std::string alphabet = "\\x0EA8e/\xE8\xC3\xA8\n\x01";
  for (int i = 0; i < 20000; ++i) {
    std::string name;
    for (uint64_t length = random.below(9); length > 0; --length) name += alphabet[random.below(alphabet.size())];
    const std::string text = escaped(name);
    EXPECT_TRUE(is_utf8(text));
    EXPECT_EQ(unescaped(text), name) << text;
    names.insert(name);
    texts.insert(text);
  }
  EXPECT_EQ(names.size(), texts.size());
}

}  // namespace
}  // namespace fewatoms
