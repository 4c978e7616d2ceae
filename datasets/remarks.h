#pragma once

#include <string>
#include <vector>

namespace fewatoms {

/// What may be met in reading a picture that the user should know, though reading goes on.
enum class RemarkKind {
  kTransparent,  // it was laid on a background
  kFewBits,      // its 16 bits are not all used
  kDamaged,      // its decoder made up for what is missing
  kTagLeft       // its orientation tag is not followed
};

struct Remark {
  RemarkKind kind = RemarkKind::kDamaged;
  std::string text;  // one line, naming the picture
};

/// Notes what was met in reading a picture, for the whole process: pictures are read in many threads, long after their
/// source was opened. `text` goes on after the name. Of each kind the picture that comes first by name is kept, so what
/// is told does not depend on the order of reading. Thread-safe.
void remark(RemarkKind kind, const std::string& name, const std::string& text);

/// What was noted since the last call, one remark of a kind, in the order of the kinds. Thread-safe.
std::vector<Remark> take_remarks();

}  // namespace fewatoms
