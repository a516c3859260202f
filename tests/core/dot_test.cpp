#include <doctest/doctest.h>

#include <string>

#include <dualtape/core/program.hpp>
#include <dualtape/ops/convolution.hpp>
#include <dualtape/ops/diagonals.hpp>
#include <dualtape/ops/linalg_factor.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/pooling.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/slice.hpp>
#include <dualtape/ops/sort.hpp>
#include <tests/errors.hpp>

using namespace dualtape;
using testing::contains;

TEST_CASE("drawings leave out attributes that have their default value, and these alone") {
  Graph g;
  const Var x = g.input("x", {4, 4});
  const Var images = g.input("images", {1, 1, 8, 8});
  const Var kernel = g.input("kernel", {1, 1, 3, 3});
  matmul(x, x);
  sum(x);
  tril(x);
  top_k(x, 2);
  conv2d(images, kernel);
  max_pool2d(images, 2);
  random_normal(g, Key{1}, {2});
  slice(x, 0, 1, 3);
  avg_pool2d(images, 2);
  triangular_solve(x, x);
  const std::string plain = to_dot(g);
  for (const char* part :
       {"transpose_a", "keepdims", "k=0", "largest", "stride", "dilation", "padding", "groups",
        "mean=", "stddev", "steps", "lower", "count_include_pad", "unit_diagonal"}) {
    CAPTURE(part);
    CHECK(!contains(plain, part));
  }
  for (const char* part : {"axes=[0, 1]", "k=2", "window=[2, 2]", "starts=[1, 0]"}) {
    CAPTURE(part);
    CHECK(contains(plain, part));
  }

  Graph h;
  const Var y = h.input("y", {4, 4});
  const Var pictures = h.input("pictures", {1, 2, 8, 8});
  const Var weights = h.input("weights", {2, 1, 3, 3});
  matmul(y, y, {.transpose_a = true});
  sum(y, {0}, true);
  tril(y, 1);
  top_k(y, 2, -1, false);
  conv2d(pictures, weights, {.stride = 2, .padding = 1, .groups = 2});
  max_pool2d(pictures, 3, {.stride = 1});
  random_normal(h, Key{1}, {2}, 1, 2);
  slice(y, 0, 0, 4, 2);
  avg_pool2d(pictures, 2, {.count_include_pad = false});
  triangular_solve(y, y, {.lower = false, .unit_diagonal = true});
  const std::string told = to_dot(h);
  for (const char* part :
       {"transpose_a=True", "keepdims=True", "k=1", "largest=False", "stride=[2, 2]",
        "padding=[1, 1", "groups=2", "stride=[1, 1]", "mean=1", "stddev=2", "steps=[2, 1]",
        "lower=False", "count_include_pad=False", "unit_diagonal=True"}) {
    CAPTURE(part);
    CHECK(contains(told, part));
  }
  CHECK(!contains(told, "transpose_b"));
  CHECK(!contains(told, "dilation"));
}
