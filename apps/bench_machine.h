#pragma once

#include <functional>
#include <string>

namespace fewatoms {

/// What the machine can do at best with some number of threads.
struct MachineRates {
  int threads = 1;
  double gflops = 0;         // single-precision multiply-adds on registers alone, two operations each, of all threads
  double copy_gb_per_s = 0;  // bytes read plus bytes written, arrays larger than the caches
};

/// What figures of time are relative to.
struct Machine {
  std::string processor;        // its name as the system gives it
  int cores = 0;                // hardware threads
  std::string instructions;     // of the multiply-add loop: avx512, avx2 or baseline
  std::string allocator;        // tcmalloc or libc
  std::string openblas_core;    // kernels that OpenBLAS chose; "none" where another BLAS is in use
  std::string onednn_isa;       // instruction set that oneDNN may use
  std::string aten_capability;  // instruction set of LibTorch's own kernels
  MachineRates one, all;        // with 1 thread, and with as many as were asked for

  double fma_scaling() const { return all.gflops / one.gflops; }
};

/// The processor's name as the system gives it, or "unknown".
std::string processor_name();

/// Measures for about a second.
Machine measure_machine(int threads);

/// Largest resident memory, MiB, of the process since its start or the last reset_peak_memory.
double peak_memory_mb();
/// Starts anew where the system allows it.
void reset_peak_memory();

}  // namespace fewatoms
