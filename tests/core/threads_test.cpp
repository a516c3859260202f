// Programs on several threads: the same bits, the same errors, and any number of users at once.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <dualtape/core/machine/team.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/core/threads.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/activations.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/compare.hpp>
#include <dualtape/ops/extremes.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/math.hpp>
#include <dualtape/ops/matmul.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/normalise.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/shapes.hpp>
#include <dualtape/ops/softmax.hpp>

#include "tests/allocations.hpp"
#include "tests/errors.hpp"
#include "tests/sanitizers.hpp"

#if defined(__unix__)
#include <sys/wait.h>
#include <unistd.h>
#endif

using namespace dualtape;

namespace {

// What `build` makes, from a program for each number of threads, must be the same bits.
using Build = std::function<std::vector<Var>(Graph&)>;
void check_same_bits(const Build& build, bool fused = true) {
  std::vector<std::vector<Tensor>> values;
  for (const int threads : {1, 2, 3}) {
    Graph g;
    const std::vector<Var> wanted = build(g);
    CompileOptions options;
    options.threads = threads;
    if (!fused) options.without = {"fuse"};
    Program program = compile(wanted, {}, options);
    CHECK(program.threads() == threads);
    for (int run = 0; run < 3; ++run) {
      const Outputs out = program.run();
      values.emplace_back();
      for (const Var& var : wanted) values.back().push_back(out[var].copy());
    }
  }
  for (std::size_t i = 1; i < values.size(); ++i)
    for (std::size_t k = 0; k < values[i].size(); ++k) {
      CAPTURE(i);
      CAPTURE(k);
      REQUIRE(values[i][k].type() == values[0][k].type());
      CHECK(std::memcmp(values[i][k].raw(), values[0][k].raw(), values[0][k].bytes()) == 0);
    }
}
Var given(Graph& g, Shape shape, std::uint64_t seed, DType dtype = float32) {
  Parameter p("p" + std::to_string(seed), normal(Key(seed), std::move(shape), 0, 1, dtype));
  return g.read(p);
}

}  // namespace

TEST_CASE("DUALTAPE_NUM_THREADS is a number of threads or nothing") {
  using detail::threads_from;
  CHECK(threads_from(nullptr) == 1);
  CHECK(threads_from("") == 1);
  CHECK(threads_from("2") == 2);
  CHECK(threads_from("1024") == 1024);
  for (const std::string text : {"0", "-3", "2x", "zz", "1025", "999999999999"}) {
    CAPTURE(text);
    const std::string said =
        testing::error_of<ValueError>([&] { static_cast<void>(threads_from(text.c_str())); });
    CHECK(said.find("DUALTAPE_NUM_THREADS") != std::string::npos);
    CHECK(said.find('"' + text + '"') != std::string::npos);
    CHECK(said.find("from 1 to 1024") != std::string::npos);
  }
}

TEST_CASE("programs get the number of threads set when they are compiled") {
  const int before = num_threads();
  Graph g;
  const Var x = g.input("x", {4});
  set_num_threads(3);
  CHECK(num_threads() == 3);
  const Program three = compile({x + 1});
  CompileOptions two;
  two.threads = 2;
  CHECK(compile({x + 1}, {}, two).threads() == 2);
  set_num_threads(1);
  CHECK(three.threads() == 3);
  CHECK(compile({x + 1}).threads() == 1);
  set_num_threads(before);
  CHECK_THROWS_WITH_AS(set_num_threads(0), doctest::Contains("0 threads"), ValueError);
  CHECK_THROWS_WITH_AS(set_num_threads(1025), doctest::Contains("1025 threads"), ValueError);
  CHECK(num_threads() == before);
  two.threads = -1;
  CHECK_THROWS_WITH_AS(static_cast<void>(compile({x + 1}, {}, two)),
                       doctest::Contains("-1 threads"), ValueError);
}

TEST_CASE("every part is done once, by a thread of the team") {
  for (const int threads : {1, 2, 5})
    for (const std::size_t parts : {0U, 1U, 2U, 3U, 64U, 1000U}) {
      std::vector<std::atomic<int>> done(parts);
      std::atomic<bool> known{true};
      auto count = [&](std::size_t part, int thread) {
        ++done[part];
        if (thread < 0 || thread >= threads) known = false;
      };
      detail::Team(threads, nullptr, 0).run(parts, count);
      CHECK(known);
      for (const auto& times : done) CHECK(times == 1);
    }
}

TEST_CASE("other threads than the caller's do parts, with denormals flushed") {
  std::atomic<int> arrived{0};
  std::array<std::thread::id, 2> ids;
  std::array<float, 2> results{1, 1};
  const detail::Team team(2, nullptr, 0);
  // Each part waits for the other, so that one thread cannot do both.
  team.run(2, [&](std::size_t part, int) {
    ids[part] = std::this_thread::get_id();
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
    volatile float small = std::numeric_limits<float>::min();
    if (ids[part] != std::this_thread::get_id()) return;
    results[part] = small / 4;
  });
  CHECK(ids[0] != ids[1]);
  const std::size_t other = ids[0] == std::this_thread::get_id() ? 1 : 0;
#if defined(__SSE2__) || defined(__aarch64__)
  CHECK(results[other] == 0);
#endif
  CHECK(results[1 - other] > 0);  // this thread's mode is its own
}

TEST_CASE("of the parts that throw the lowest is heard of, and the pool goes on") {
  const detail::Team team(3, nullptr, 0);
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> done{0};
    CHECK_THROWS_WITH_AS(team.run(50,
                                  [&](std::size_t part, int) {
                                    ++done;
                                    if (part == 4)  // the lowest, and not the first to throw
                                      std::this_thread::sleep_for(std::chrono::milliseconds(1));
                                    if (part % 7 == 4)
                                      throw std::runtime_error("part " + std::to_string(part));
                                  }),
                         "part 4", std::runtime_error);
    CHECK(done >= 5);
    std::atomic<int> after{0};
    team.run(50, [&](std::size_t, int) { ++after; });
    CHECK(after == 50);
  }
}

TEST_CASE("a part may run parts of its own") {
  std::atomic<int> done{0};
  const detail::Team team(2, nullptr, 0);
  team.run(4, [&](std::size_t, int) { team.run(3, [&](std::size_t, int) { ++done; }); });
  CHECK(done == 12);
}

TEST_CASE("elementwise steps and draws give the same bits on any number of threads") {
  for (const bool fused : {false, true}) {
    CAPTURE(fused);
    for (const Shape& shape :
         {Shape{300'007}, Shape{3, 100'001}, Shape{301, 1001}, Shape{20'011, 7}})
      check_same_bits(
          [&](Graph& g) {
            const Var x = given(g, shape, 1);
            const Var row = given(g, {shape.back()}, 2);
            const Var y = tanh(x * 2.0 + row) * exp(x);
            const Var column = given(g, {shape[0], 1}, 3);
            const Var z = shape.rank() == 1 ? sin(y) : y / (square(column) + 1.0);
            return std::vector<Var>{y, z, where(z > 0.5, y, z), cast(z, float64)};
          },
          fused);
    check_same_bits(
        [&](Graph& g) {
          const Shape shape{500, 601};
          const Var x = given(g, shape, 1);
          const Var signs = random_rademacher(g, Key{5}, shape);
          const Var normals = random_normal(g, Key{6}, shape, 0.5, 2);
          const Var uniforms = random_uniform(g, Key{7}, shape, -1, 3);
          return std::vector<Var>{signs, x * signs, normals, x + normals * uniforms,
                                  random_normal(g, Key{6}, {200'001}, 0, 1, float64)};
        },
        fused);
  }
}

TEST_CASE("reductions, softmax and normalisation give the same bits on any number of threads") {
  for (const DType dtype : {float32, float64})
    for (const Shape& shape : {Shape{600, 501}, Shape{20'000, 10}, Shape{7, 50'000},
                               Shape{8, 90, 301}, Shape{1'100'003}})
      check_same_bits([&](Graph& g) {
        const Var x = given(g, shape, 1, dtype);
        const Var columns = given(g, {shape.sizes().back()}, 2, dtype);
        std::vector<Var> wanted{sum(x),    max(x),        mean(x),
                                norm(x),   logsumexp(x),  var(x),
                                stddev(x), layer_norm(x), layer_norm(x, columns, columns)};
        for (std::int64_t axis = 0; axis < static_cast<std::int64_t>(shape.rank()); ++axis)
          for (const Var& y :
               {sum(x, {axis}), min(x, {axis}), mean(x, {axis}), norm(x, {axis}), var(x, {axis}),
                stddev(x, {axis}), softmax(x, axis), log_softmax(x, axis), logsumexp(x, {axis}),
                argmax(x, axis), sum(cast(x, int64), {axis})})
            wanted.push_back(y);
        if (shape.rank() > 1)
          for (const Reduction reduction : {Reduction::mean, Reduction::none}) {
            const Var labels = argmax(x * x, -1);
            wanted.push_back(cross_entropy(x, labels, reduction));
          }
        return wanted;
      });
}

TEST_CASE("products agree to rounding, and to the bit where the number of threads is the same") {
  struct Sizes {
    std::int64_t m, k, n;
  };
  for (const DType dtype : {float32, float64})
    for (const Sizes s : {Sizes{64, 300, 517}, Sizes{700, 64, 257}, Sizes{700, 1, 901},
                          Sizes{1, 800, 901}, Sizes{901, 800, 1}})
      for (int flags = 0; flags < 4; ++flags) {
        const MatmulOptions options{(flags & 1) != 0, (flags & 2) != 0};
        Graph g;
        const Var a = given(g, options.transpose_a ? Shape{s.k, s.m} : Shape{s.m, s.k}, 1, dtype);
        const Var b = given(g, options.transpose_b ? Shape{s.n, s.k} : Shape{s.k, s.n}, 2, dtype);
        const Var c = matmul(a, b, options);
        std::vector<Tensor> values;
        for (const int threads : {1, 2, 3, 2, 3}) {
          CompileOptions how;
          how.threads = threads;
          Program program = compile({c}, {}, how);
          const Tensor value = program.run()[c].copy();
          values.push_back(value);
          CHECK(identical(program.run()[c], value));
        }
        CHECK(identical(values[1], values[3]));
        CHECK(identical(values[2], values[4]));
        const double tolerance = dtype == float32 ? 1e-4 : 1e-12;
        CHECK(all_close(values[1], values[0], tolerance, 10 * tolerance));
        CHECK(all_close(values[2], values[0], tolerance, 10 * tolerance));
      }
}

TEST_CASE("batches of products give the same bits on any number of threads") {
  check_same_bits([](Graph& g) {
    return std::vector<Var>{matmul(given(g, {9, 40, 120}, 1), given(g, {9, 120, 70}, 2)),
                            matmul(given(g, {40, 120}, 3), given(g, {9, 120, 70}, 2))};
  });
}

TEST_CASE("an error found on another thread is reported as on one") {
  std::vector<std::string> texts;
  for (const int threads : {1, 3}) {
    Graph g;
    const Var logits = given(g, {4096, 100}, 1);
    Tensor numbers = zeros({4096}, int64);
    numbers.data<std::int64_t>()[1030] = 100;
    numbers.data<std::int64_t>()[4000] = -7;
    const Var labels = g.input("labels", {4096}, int64);
    const Var loss = cross_entropy(logits, labels);
    CompileOptions how;
    how.threads = threads;
    Program program = compile({loss}, {}, how);
    for (int round = 0; round < 5; ++round) {
      try {
        program.run({{labels, numbers}});
        FAIL("no error");
      } catch (const ValueError& error) {
        texts.emplace_back(error.what());
      }
    }
    CHECK(program.run({{labels, zeros({4096}, int64)}})[loss].item() > 0);
  }
  CHECK(std::set<std::string>(texts.begin(), texts.end()).size() == 1);
  CHECK(texts[0].find("label 100 of sample 1030") != std::string::npos);
}

TEST_CASE("programs of many user threads run at once, on shared parameters and a shared pool") {
  const Parameter w("w", normal(Key{1}, {300, 400}));
  const Parameter b("b", normal(Key{2}, {400}));
  const Tensor x = normal(Key{3}, {64, 300});
  const auto train = [&](int kind, int threads) {
    Graph g;
    const Var vx = g.input("x", {64, 300});
    const Var hidden = tanh(matmul(vx, g.read(w)) + g.read(b));
    const Var loss = mean(square(hidden));
    const Var v = random_rademacher(g, Key{static_cast<std::uint64_t>(kind)}, {300, 400});
    const Var result = kind % 2 == 0 ? reverse(loss, {w})[w] : v * sum(v * g.read(w));
    CompileOptions how;
    how.threads = threads;
    Program program = compile({loss, result}, {}, how);
    for (int run = 0; run < 5; ++run) program.run({{vx, x}});
    const Outputs out = program.run({{vx, x}});
    return std::vector<Tensor>{out[loss].copy(), out[result].copy()};
  };
  std::vector<std::vector<Tensor>> alone;
  for (int kind = 0; kind < 8; ++kind) alone.push_back(train(kind, kind % 3 + 1));
  std::vector<std::vector<Tensor>> together(8);
  const int before = num_threads();
  std::atomic<bool> done{false};
  std::thread setter([&] {  // which no running program minds
    for (int i = 0; !done; ++i) set_num_threads(i % 4 + 1);
  });
  std::vector<std::thread> users;
  for (int kind = 0; kind < 8; ++kind)
    users.emplace_back(
        [&, kind] { together[static_cast<std::size_t>(kind)] = train(kind, kind % 3 + 1); });
  for (std::thread& user : users) user.join();
  done = true;
  setter.join();
  set_num_threads(before);
  for (std::size_t kind = 0; kind < 8; ++kind)
    for (std::size_t i = 0; i < 2; ++i) CHECK(identical(together[kind][i], alone[kind][i]));
}

TEST_CASE("a run on several threads allocates nothing either") {
  Graph g;
  const Var x = given(g, {64, 5000}, 1);
  const Var w = given(g, {5000, 96}, 2);
  const Var loss = mean(square(matmul(tanh(x), w)));
  CompileOptions how;
  how.threads = 3;
  Program program = compile({loss, reverse(loss, {w})[w], softmax(x), sum(x)}, {}, how);
  program.run();
  CHECK(allocations_in([&] { program.run(); }) == 0);
}

#if defined(__unix__)
TEST_CASE("a forked process has threads of its own" * doctest::skip(testing::thread_sanitizer)) {
  Graph g;
  const Var x = given(g, {200'000}, 1);
  const Var y = exp(x);
  CompileOptions how;
  how.threads = 2;
  Program program = compile({y}, {}, how);
  const Tensor expected = program.run()[y].copy();
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) _exit(identical(program.run()[y], expected) ? 0 : 1);
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(identical(program.run()[y], expected));
}

namespace {
// The threads that a fork left behind held memory that nobody in the child knows of.
bool leaks_are_looked_for = true;
}  // namespace
extern "C" int __lsan_is_turned_off() { return leaks_are_looked_for ? 0 : 1; }  // NOLINT

TEST_CASE("exit() while other threads build graphs ends the process as asked" *
          doctest::skip(testing::thread_sanitizer)) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    leaks_are_looked_for = false;
    std::atomic<int> built{0};
    for (int t = 0; t < 2; ++t)
      std::thread([&built] {
        for (;; ++built) {
          Graph g;
          const Var x = g.input("x", {3});
          static_cast<void>(eval(reverse(sum(tanh(x) * 2.0), {x})[x], {{x, zeros({3})}}));
        }
      }).detach();
    while (built < 4) std::this_thread::yield();
    std::exit(7);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
}
#endif
