// Tutorial 1: a first graph.
#include <iostream>

#include <dualtape/dualtape.hpp>

#include "common/tutorial.hpp"

namespace dt = dualtape;

namespace {

void build(const dt::docs::Tutorial& tutorial) {
  tutorial.section("types");
  // [build]
  dt::Graph g;
  const dt::Var celsius = g.input("celsius", {5});  // five numbers, float32
  const dt::Var fahrenheit = 1.8 * celsius + 32;

  std::cout << "shape " << fahrenheit.shape() << ", type " << to_string(fahrenheit.type()) << '\n';
  // [/build]

  tutorial.section("listing");
  // [listing]
  std::cout << to_string(g);
  // [/listing]

  tutorial.section("first-run");
  // [first-run]
  auto program = dt::compile({fahrenheit});
  const auto out = program.run({{celsius, dt::Tensor{-40, 0, 20, 37, 100}}});
  std::cout << out[fahrenheit] << '\n';
  // [/first-run]
}

// [complain]
void complain(const auto& mistake) {
  try {
    mistake();
  } catch (const dt::Error& error) {
    std::cout << error.what() << "\n\n";
  }
}
// [/complain]

void mistakes(const dt::docs::Tutorial& tutorial) {
  tutorial.section("mistakes");
  // [mistakes]
  dt::Graph g;
  const dt::Var a = g.input("a", {2, 3});
  const dt::Var b = g.input("b", {4, 3});
  const dt::Var scores = dt::matmul(a, b, {.transpose_b = true}).named("scores");

  complain([&] { dt::matmul(a, b); });
  complain([&] { scores + a; });
  complain([&] { dt::reverse(scores, {a}); });  // a gradient of eight numbers at once
  complain([&] {
    auto program = dt::compile({scores});
    program.run({{a, dt::ones({2, 3})}});
  });
  complain([&] { dt::eval(scores, {{a, dt::ones({2, 3})}, {b, dt::ones({3, 4})}}); });
  // [/mistakes]
}

void fit(const dt::docs::Tutorial& tutorial) {
  // [model]
  const dt::Parameter slope{"slope", dt::Tensor(0.0)};
  const dt::Parameter offset{"offset", dt::Tensor(0.0)};

  dt::Graph g;
  const dt::Var x = g.input("x", {5});            // tens of degrees Celsius
  const dt::Var wanted = g.input("wanted", {5});  // degrees Fahrenheit
  const dt::Var predicted = (slope * x + offset).named("predicted");
  const dt::Var loss = dt::mean(dt::square(predicted - wanted)).named("loss");
  // [/model]
  tutorial.draw_graph("model", dt::to_dot(g));

  // [step]
  const auto gradient = dt::reverse(loss, {slope, offset});
  auto step = dt::compile({loss}, {dt::assign(slope, slope - 0.1 * gradient[slope]),
                                   dt::assign(offset, offset - 0.1 * gradient[offset])});
  // [/step]

  tutorial.section("training");
  dt::docs::Figure::Values steps;
  dt::docs::Figure::Values losses;
  // [training]
  const dt::Tensor tens{-1, 0, 1, 2, 3};
  const dt::Tensor measured{14, 32, 50, 68, 86};
  for (int i = 0; i <= 100; ++i) {
    const auto out = step.run({{x, tens}, {wanted, measured}});
    if (i % 20 == 0) std::cout << "step " << i << "  loss " << out[loss] << '\n';
    steps.push_back(i);  // for the plot
    losses.push_back(out[loss].item());
  }
  std::cout << "slope " << slope.value() << ", offset " << offset.value() << '\n';
  // [/training]

  tutorial.section("program");
  // [explain]
  std::cout << step.explain();
  // [/explain]
  tutorial.aside();
  tutorial.draw_graph("program", step.to_dot());

  dt::docs::Figure figure("loss", "The loss of the line's fit");
  figure.labels("step", "loss").log_y().line("", steps, losses);
  tutorial.draw(figure);
  tutorial.csv("loss.csv", {{"step", steps}, {"loss", losses}});
}

void body(const dt::docs::Tutorial& tutorial) {
  build(tutorial);
  mistakes(tutorial);
  fit(tutorial);
}

}  // namespace

int main(int argc, char** argv) {
  return dt::docs::run_tutorial(argc, argv, "Tutorial 1: a first graph", body);
}
