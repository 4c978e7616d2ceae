#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace fewatoms {

/// Progress of a training on standard error: one line that renews itself on a terminal, plain lines at growing
/// intervals in a log.
class Progress {
 public:
  Progress(int64_t done, int64_t total, bool quiet);
  ~Progress();

  /// After an iteration; loss and accuracy are smoothed before they are shown.
  void update(int64_t done, double loss, double accuracy);
  /// A line of its own, above the bar.
  void note(const std::string& line);

 private:
  using Clock = std::chrono::steady_clock;
  std::string status(Clock::time_point now) const;
  void clear_line();

  int64_t first_, done_, total_;
  bool quiet_, terminal_;
  double loss_ = 0, accuracy_ = 0;
  Clock::time_point begin_, shown_;
  double interval_;  // seconds between two shows
};

/// Columns that a line on standard error may have without reaching the next: the terminal's but one, 79 where that is
/// not known.
size_t terminal_columns();

/// "1:02:03", "4:05".
std::string duration_text(double seconds);

}  // namespace fewatoms
