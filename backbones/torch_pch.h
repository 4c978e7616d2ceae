// The LibTorch headers that cost most of a compilation; every target that uses tensors reuses this precompiled header.
#include <torch/autograd.h>
#include <torch/types.h>
