// Random programs of the registry's sample calls, for tests that hold two ways of computing the
// same together, and that make a failure small enough to be read. A program is plain data: its
// seed makes it, and steps may be taken away. One thread at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <dualtape/core/registry.hpp>
#include <dualtape/core/tensor.hpp>

namespace dualtape::testing {

struct RandomStep {
  Entry entry;
  Case sample;
  std::uint64_t key = 0;  // of what is drawn for it
  // For each argument the value that it depends on, inputs before steps; none: what is drawn alone.
  std::vector<std::optional<std::size_t>> reads;
};

struct RandomProgram {
  std::uint64_t seed = 0;
  std::size_t inputs = 2;  // of `size` numbers each, float64
  static constexpr std::int64_t size = 4;
  std::vector<RandomStep> steps;

  // (size) numbers, that depend on all steps nobody reads.
  Var operator()(std::span<const Var> x) const;
  std::vector<Tensor> at() const;  // values for its inputs
  // One line a step: "x2 = softmax(x0, drawn)".
  std::string text() const;
};

// Up to `steps` sample calls of those entries.
RandomProgram random_program(std::uint64_t seed, std::span<const Entry> entries, std::size_t steps);

// What of a program still fails: empty where it holds, else why.
using Fails = std::function<std::string(const RandomProgram&)>;
// A failing program without the steps and reads that it fails without.
RandomProgram shrunk(RandomProgram program, const Fails& fails);

}  // namespace dualtape::testing
