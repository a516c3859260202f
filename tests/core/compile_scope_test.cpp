// What a compile() asks for reaches the kernels planned in it, on its thread, and no others.
#include <doctest/doctest.h>

#include <stdexcept>
#include <thread>

#include <dualtape/core/detail/compile_scope.hpp>

using namespace dualtape;
using detail::compile_scope;
using detail::CompileScope;

TEST_CASE("programs compiled inside of a compile() are asked for the same, and nothing is left") {
  CHECK(compile_scope().precision == precision::full);
  CompileOptions outer;
  outer.precision = precision::bf16;
  outer.tune = true;
  outer.tune_file = "outer";
  outer.threads = 2;
  {
    const CompileScope scope(outer);
    CHECK(compile_scope().precision == precision::bf16);
    CHECK(!compile_scope().keep_weights);
    CompileOptions inner;
    inner.keep_weights = true;
    inner.tune_file = "inner";
    inner.threads = 1;
    {
      const CompileScope nested(inner);
      CHECK(compile_scope().precision == precision::bf16);
      CHECK(compile_scope().tune);
      CHECK(compile_scope().keep_weights);
      CHECK(compile_scope().tune_file == "inner");
      CHECK(compile_scope().threads == 1);
    }
    CHECK(!compile_scope().keep_weights);
    CHECK(compile_scope().tune_file == "outer");
    CHECK(compile_scope().threads == 2);
    bool elsewhere = true;
    std::thread([&] { elsewhere = compile_scope().tune; }).join();
    CHECK(!elsewhere);
  }
  CHECK(!compile_scope().tune);
  try {
    const CompileScope scope(outer);
    throw std::runtime_error("while compiling");
  } catch (const std::runtime_error&) {
    CHECK(!compile_scope().tune);
  }
}
