// Tutorial 6: adding an operator.
#include <cmath>
#include <iostream>

#include <dualtape/dualtape.hpp>

#include "common/tutorial.hpp"

namespace dt = dualtape;

namespace {

// [elementwise]
struct LogCosh {
  static constexpr auto name = "logcosh";
  static constexpr auto doc = "log cosh x, a square near 0 and |x| - log 2 far away";
  static auto formula(auto x) { return abs(x) + log1p(exp(-2 * abs(x))) - std::log(2.0); }
  static dt::Factor partial(dt::Var x, dt::Var /*y*/) { return dt::tanh(x); }
  static auto sample() { return dt::domain(-5, 5); }
};
inline constexpr dt::Elementwise<LogCosh> logcosh;
// [/elementwise]

// [linear]
struct Differences {
  static constexpr auto name = "differences";
  static constexpr auto doc = "y[i] = x[i + 1] - x[i] of a vector";

  static void infer(dt::Inference& inference) {
    inference.require_count(1);
    inference.require_floating(0);
    if (inference.shape(0).rank() != 1 || inference.shape(0).count() < 2)
      inference.shape_error("needs a vector of two or more, got " + to_string(inference.in[0]));
    inference.out = {{{inference.shape(0).count() - 1}, inference.dtype(0)}};
  }
  template <class T>
  static void subtract(std::span<const T> x, std::span<T> y) {
    for (std::size_t i = 0; i < y.size(); ++i) y[i] = x[i + 1] - x[i];
  }
  static void apply(std::span<const dt::Tensor> in, std::span<dt::Tensor> out,
                    const dt::Attributes& /*attributes*/) {
    if (in[0].dtype() == dt::float32)
      subtract(in[0].data<float>(), out[0].data<float>());
    else
      subtract(in[0].data<double>(), out[0].data<double>());
  }
  static dt::Var transpose(const dt::NodeView& /*node*/, std::size_t /*i*/, dt::Var c) {
    return dt::pad(c, {1}, {0}) - dt::pad(c, {0}, {1});
  }
  static std::vector<dt::Case> cases();
};
inline constexpr dt::Linear<Differences> differences;

std::vector<dt::Case> Differences::cases() {
  return {{"of six", {{dt::Shape{6}}}, [](std::span<const dt::Var> in) {
             return std::vector<dt::Var>{differences(in[0])};
           }}};
}
// [/linear]

// [general]
struct Length {
  static constexpr auto name = "length";
  static constexpr auto doc = "the Euclidean length of a vector";

  static void infer(dt::Inference& inference) {
    inference.require_count(1);
    inference.require_floating(0);
    inference.out = {{{}, inference.dtype(0)}};
  }
  static void apply(std::span<const dt::Tensor> in, std::span<dt::Tensor> out,
                    const dt::Attributes& /*attributes*/) {
    double sum = 0;
    const dt::Tensor wide = in[0].to(dt::float64);
    for (const double x : wide.data<double>()) sum += x * x;
    out[0].fill(std::sqrt(sum));
  }
  static dt::MaybeVar jvp(const dt::NodeView& node, std::span<const dt::MaybeVar> tangents) {
    return dt::sum(node.in[0] / node.out[0] * *tangents[0]);
  }
  static std::vector<dt::Case> cases();
};
inline constexpr dt::General<Length> length;

std::vector<dt::Case> Length::cases() {
  return {{"of five", {{dt::Shape{5}, dt::domain(0.5, 2)}}, [](std::span<const dt::Var> in) {
             return std::vector<dt::Var>{length(in[0])};
           }}};
}
// [/general]

// [wrong]
struct Wrong : LogCosh {
  static constexpr auto name = "wrong";
  static dt::Factor partial(dt::Var x, dt::Var /*y*/) { return 2 * dt::sigmoid(x) - 1; }
};
inline constexpr dt::Elementwise<Wrong> wrong;

struct Crooked : Length {
  static constexpr auto name = "crooked";
  static dt::MaybeVar jvp(const dt::NodeView& node, std::span<const dt::MaybeVar> tangents) {
    return dt::sum(dt::square(*tangents[0])) / node.out[0];
  }
  static std::vector<dt::Case> cases();
};
inline constexpr dt::General<Crooked> crooked;
// [/wrong]

std::vector<dt::Case> Crooked::cases() {
  return {{"of five", {{dt::Shape{5}, dt::domain(0.5, 2)}}, [](std::span<const dt::Var> in) {
             return std::vector<dt::Var>{crooked(in[0])};
           }}};
}

void complain(const auto& mistake) {
  try {
    mistake();
  } catch (const dt::Error& error) {
    std::cout << error.what() << "\n\n";
  }
}

void check(const dt::docs::Tutorial& tutorial) {
  tutorial.section("check");
  // [check]
  dt::check_op(logcosh);  // throws if anything is wrong
  dt::check_op(differences);
  dt::check_op(length);
  std::cout << "all three are right\n";
  // [/check]
}

void use(const dt::docs::Tutorial& tutorial) {
  tutorial.section("use");
  // [use]
  dt::Graph g;
  const dt::Var x = g.input("x", {4});
  const dt::Var rough = dt::sum(logcosh(differences(x))) + length(x);
  const dt::Var v = g.input("v", {4});
  const dt::Var gradient = dt::reverse(rough, {x})[x];
  const dt::Var slope = dt::forward(rough, {x}, {v});

  auto program = dt::compile({rough, gradient, slope});
  const auto out = program.run({{x, dt::Tensor{1, 2, 4, 8}}, {v, dt::Tensor{1, 0, 0, 0}}});
  std::cout << "value    " << out[rough] << "\ngradient " << out[gradient] << "\nalong v  "
            << out[slope] << '\n';
  // [/use]
}

void errors(const dt::docs::Tutorial& tutorial) {
  tutorial.section("wrong-partial");
  complain([] {
    // [wrong-partial]
    dt::check_op(wrong);
    // [/wrong-partial]
  });
  tutorial.section("crooked-jvp");
  complain([] {
    // [crooked-jvp]
    dt::check_op(crooked);
    // [/crooked-jvp]
  });
  tutorial.section("bad-call");
  complain([] {
    // [bad-call]
    dt::Graph g;
    differences(g.input("image", {28, 28}));
    // [/bad-call]
  });
  tutorial.aside();
}

void draw(const dt::docs::Tutorial& tutorial) {
  const auto xs = dt::docs::linear_steps(-4, 4, 161);
  const auto values = [&](const auto& f) {
    const dt::Tensor y = dt::eval(f, dt::Tensor::from(xs, {161}));
    const auto data = y.template data<double>();
    return dt::docs::Figure::Values(data.begin(), data.end());
  };
  // [curves]
  const auto slope = dt::grad([](dt::Var x) { return dt::sum(logcosh(x)); });
  const auto curvature = dt::grad([&](dt::Var x) { return dt::sum(slope(x)); });
  // [/curves]
  dt::docs::Figure figure("logcosh", "logcosh and its derivatives");
  figure.labels("x", "")
      .line("logcosh", xs, values(logcosh), {.colour = 0})
      .line("first derivative", xs, values(slope), {.colour = 1})
      .line("second derivative", xs, values(curvature), {.colour = 2});
  tutorial.draw(figure);
}

void body(const dt::docs::Tutorial& tutorial) {
  check(tutorial);
  use(tutorial);
  errors(tutorial);
  draw(tutorial);
}

}  // namespace

int main(int argc, char** argv) {
  return dt::docs::run_tutorial(argc, argv, "Tutorial 6: adding an operator", body);
}
