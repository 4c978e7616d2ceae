#pragma once

#include <string>
#include <string_view>

namespace fewatoms {

// Names are UTF-8 inside the program: classes, images, paths in messages and files. What comes from outside passes here
// once. A byte that is no part of UTF-8 text is written as \xE8, so that no two names become one.

bool is_utf8(std::string_view bytes);

/// The text, with each byte that is no UTF-8 as \xE8. Changes nothing in UTF-8.
std::string as_utf8(std::string_view bytes);

/// The same with control characters (line ends, tabs) as \x0A too: one line, for labels and messages.
std::string as_line(std::string_view bytes);

/// A name of the file system as text, such that `unescaped` gives its bytes back: as as_line, and a backslash before
/// what reads like \xE8 already becomes \x5C. Plain names stay as they are.
std::string escaped(std::string_view bytes);

/// The bytes that `escaped` has made this text of; a text that it never makes stays as it is.
std::string unescaped(std::string_view text);

}  // namespace fewatoms
