#pragma once

#include <exception>

namespace fewatoms {

/// What SIGINT, SIGTERM and SIGHUP do from here on: they remove the files that are only half written and end the
/// program with 128 + their number. One that the program was started to ignore, as nohup does, stays ignored.
void end_at_signals();

/// From here on the first such signal is remembered instead, for a command that has something to bring to an end; the
/// second ends the program at once. SIGINT and SIGTERM count even where they were ignored.
void remember_signals();

/// The signal that has come since; 0: none. From any thread.
int stop_signal();

/// Ends a command that remembers signals, as the program's end then says by its exit code.
class Stopped : public std::exception {
 public:
  const char* what() const noexcept override { return "stopped by a signal"; }
};
/// Throws Stopped if a signal has come.
void obey_stop();

}  // namespace fewatoms
