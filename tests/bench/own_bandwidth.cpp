// How near elementwise chains, reductions, rows and draws come to what the memory allows.
#include <cstring>
#include <functional>
#include <memory>

#include <dualtape/core/program.hpp>
#include <dualtape/core/random.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/extremes.hpp>
#include <dualtape/ops/losses.hpp>
#include <dualtape/ops/moments.hpp>
#include <dualtape/ops/normalise.hpp>
#include <dualtape/ops/random.hpp>
#include <dualtape/ops/reduce.hpp>
#include <dualtape/ops/softmax.hpp>

#include <tests/bench/huge.hpp>
#include <tests/bench/loops.hpp>
#include <tests/bench/own.hpp>

namespace dualtape::bench {
namespace {

// A tensor on huge pages, filled with normal numbers.
Tensor huge_normal(const Shape& shape, std::uint64_t seed) {
  const std::size_t bytes = bytes_of(Type{shape, float32});
  const auto arena = std::make_shared<HugeArena>(bytes);
  float* const memory = arena->take<float>(bytes / sizeof(float));
  fill_normal(std::span<float>(memory, bytes / sizeof(float)), Key{seed});
  return Tensor::view(arena, memory, Type{shape, float32});
}

// A program of one output on operands that are fed.
class Kernel {
 public:
  Kernel(const std::vector<Tensor>& in, const std::function<Var(const std::vector<Var>&)>& build)
      : program_(prepare(in, build)) {}
  void run(std::int64_t times) {
    for (std::int64_t i = 0; i < times; ++i) program_.run(feeds_);
  }

 private:
  Program prepare(const std::vector<Tensor>& in,
                  const std::function<Var(const std::vector<Var>&)>& build) {
    std::vector<Var> vars;
    for (const Tensor& value : in) {
      vars.push_back(graph_.input("x" + std::to_string(vars.size()), value.shape(), value.dtype()));
      feeds_.emplace_back(vars.back(), value);
    }
    return compile({build(vars)});
  }

  Graph graph_;
  std::vector<Feed> feeds_;
  Program program_;
};

Mode program_mode(const std::string& name, const std::vector<Tensor>& in, double bytes,
                  const std::function<Var(const std::vector<Var>&)>& build) {
  const auto kernel = std::make_shared<Kernel>(in, build);
  return {name, [kernel](std::int64_t times) { kernel->run(times); }, {}, bytes};
}

Mode loop_mode(const std::string& name, double bytes, const std::function<void()>& body) {
  return {name,
          [body](std::int64_t times) {
            for (std::int64_t i = 0; i < times; ++i) body();
          },
          {},
          bytes};
}

constexpr std::int64_t large = std::int64_t{1} << 24;

Work elementwise() {
  const Tensor x = huge_normal({large}, 1);
  Tensor y = huge_normal({large}, 2);
  const float* const from = x.data<float>().data();
  float* const to = y.data<float>().data();
  const std::size_t bytes = x.bytes();
  const double moved = 2.0 * static_cast<double>(bytes);
  Work work;
  work.modes = {
      program_mode("chain10", {x}, moved,
                   [](const auto& in) {
                     const Var v = in[0];
                     const Var a = abs((v + 0.25) * 1.5) - 0.75;
                     const Var b = minimum(maximum(a, -0.5), 2.0);
                     return square(b) * 0.5 + v - 0.125;
                   }),
      loop_mode("hand/chain10", moved,
                [from, to] { loops::chain10(from, to, static_cast<std::size_t>(large)); }),
      loop_mode("hand/memcpy", moved, [from, to, bytes] {
        std::memcpy(to, from, bytes);
        asm volatile("" : : "r"(to) : "memory");
      })};
  work.keep = std::make_shared<std::vector<Tensor>>(std::vector<Tensor>{x, y});
  return work;
}

Work reductions() {
  const Tensor x = huge_normal({4096, 4096}, 1);
  const auto bytes = static_cast<double>(x.bytes());
  const float* const from = x.data<float>().data();
  Work work;
  work.modes = {
      program_mode("sum", {x}, bytes, [](const auto& in) { return sum(in[0]); }),
      program_mode("sum_rows", {x}, bytes, [](const auto& in) { return sum(in[0], {1}); }),
      program_mode("sum_columns", {x}, bytes, [](const auto& in) { return sum(in[0], {0}); }),
      program_mode("max_rows", {x}, bytes, [](const auto& in) { return max(in[0], {1}); }),
      program_mode("var_rows", {x}, bytes, [](const auto& in) { return var(in[0], {1}); }),
      loop_mode("hand/sum", bytes, [from] {
        volatile float total = loops::sum(from, static_cast<std::size_t>(large));
        static_cast<void>(total);
      })};
  work.keep = std::make_shared<Tensor>(x);
  return work;
}

Work sampling() {
  constexpr std::int64_t count = 65536;
  const auto values = std::make_shared<std::vector<float>>(count);
  const auto fill = [values](const std::string& name, auto function) -> Mode {
    return {name,
            [values, function](std::int64_t times) {
              for (std::int64_t i = 0; i < times; ++i)
                function(std::span<float>(*values), Key{static_cast<std::uint64_t>(i)});
            },
            {},
            0,
            static_cast<double>(count)};
  };
  const auto drawn = [](const std::string& name, auto build) {
    Mode mode = program_mode(name, {Key{3}.to_tensor()}, 0, build);
    mode.items = static_cast<double>(count);
    return mode;
  };
  Work work;
  work.modes = {
      fill("normal", [](std::span<float> out, Key key) { fill_normal(out, key); }),
      fill("rademacher", [](std::span<float> out, Key key) { fill_rademacher(out, key); }),
      fill("uniform", [](std::span<float> out, Key key) { fill_uniform(out, key); }),
      drawn("program_normal", [](const auto& in) { return random_normal(in[0], {count}); }),
      drawn("program_rademacher",
            [](const auto& in) { return random_rademacher(in[0], {count}); })};
  return work;
}

struct Rows {
  Tensor x, y, gain, bias, labels;
  std::size_t rows, columns;
};

std::shared_ptr<Rows> make_rows(std::int64_t rows, std::int64_t columns) {
  auto made = std::make_shared<Rows>(
      Rows{huge_normal({rows, columns}, 1), huge_normal({rows, columns}, 2),
           huge_normal({columns}, 3), huge_normal({columns}, 4), Tensor(Shape{rows}, int64),
           static_cast<std::size_t>(rows), static_cast<std::size_t>(columns)});
  std::int64_t next = 3;
  for (std::int64_t& label : made->labels.data<std::int64_t>()) label = (next += 7) % columns;
  return made;
}

Work softmax_rows(std::int64_t rows, std::int64_t columns) {
  const auto r = make_rows(rows, columns);
  const double moved = 2.0 * static_cast<double>(r->x.bytes());
  Work work;
  work.modes = {program_mode("base", {r->x}, moved, [](const auto& in) { return softmax(in[0]); }),
                loop_mode("hand/base", moved, [r] {
                  loops::softmax(r->x.data<float>().data(), r->y.data<float>().data(), r->rows,
                                 r->columns);
                })};
  return work;
}

Work cross_entropy_rows(std::int64_t rows, std::int64_t columns) {
  const auto r = make_rows(rows, columns);
  const auto read = static_cast<double>(r->x.bytes());
  Work work;
  work.modes = {program_mode("base", {r->x, r->labels}, read,
                             [](const auto& in) { return cross_entropy(in[0], in[1]); }),
                loop_mode("hand/base", read, [r] {
                  volatile float loss = loops::cross_entropy(r->x.data<float>().data(),
                                                             r->labels.data<std::int64_t>().data(),
                                                             r->rows, r->columns);
                  static_cast<void>(loss);
                })};
  return work;
}

Work layer_norm_rows(std::int64_t rows, std::int64_t columns) {
  const auto r = make_rows(rows, columns);
  const double moved = 2.0 * static_cast<double>(r->x.bytes());
  Work work;
  work.modes = {program_mode("base", {r->x, r->gain, r->bias}, moved,
                             [](const auto& in) { return layer_norm(in[0], in[1], in[2]); }),
                loop_mode("hand/base", moved, [r] {
                  loops::layer_norm(r->x.data<float>().data(), r->gain.data<float>().data(),
                                    r->bias.data<float>().data(), r->y.data<float>().data(),
                                    r->rows, r->columns);
                })};
  return work;
}

}  // namespace

std::vector<Workload> bandwidth_workloads() {
  return {{"elementwise16M", elementwise}, {"reduce16M", reductions}, {"sampling", sampling}};
}

std::vector<Workload> row_workloads() {
  std::vector<Workload> all;
  for (const auto& [rows, columns] : {std::pair{64, 1000}, std::pair{4096, 1024}}) {
    const std::string size = "_" + std::to_string(rows) + "x" + std::to_string(columns);
    const std::int64_t m = rows;
    const std::int64_t n = columns;
    all.push_back({"softmax" + size, [m, n] { return softmax_rows(m, n); }});
    all.push_back({"layer_norm" + size, [m, n] { return layer_norm_rows(m, n); }});
    all.push_back({"cross_entropy" + size, [m, n] { return cross_entropy_rows(m, n); }});
  }
  return all;
}

}  // namespace dualtape::bench
