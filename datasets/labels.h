#pragma once

#include <map>
#include <string>
#include <vector>

namespace fewatoms {

/// A label as people mean it: without spaces at its ends, one line of UTF-8 (as_line).
std::string clean_label(const std::string& given);

/// The same for labels that differ in case alone, or in how their letters are composed (a letter with its accent, or
/// the two one after the other).
std::string label_key(const std::string& label);

/// How two different labels of one key differ: "in case", "in how letters are composed".
std::string label_difference(const std::string& a, const std::string& b);

/// A line if labels of one key are among the names; nothing otherwise.
std::vector<std::string> twin_notices(const std::vector<std::string>& names);

/// Throws DataError, naming both, if labels of one key are in different splits. `split_of`: class name -> split;
/// `where` names the data.
void require_twins_together(const std::map<std::string, std::string>& split_of, const std::string& where);

}  // namespace fewatoms
