// What docs/inside.md shows: the way of one training step from graph to run.
#include <algorithm>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <dualtape/core/registry.hpp>
#include <dualtape/dualtape.hpp>
namespace dt = dualtape;

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// Those lines of `from` that `other` does not have, a mark in front. Returns whether there are any.
bool print_others(const char* mark, const std::vector<std::string>& from,
                  const std::vector<std::string>& other) {
  bool any = false;
  for (const std::string& line : from) {
    if (std::ranges::find(other, line) != other.end()) continue;
    std::cout << mark << line << '\n';
    any = true;
  }
  return any;
}

// The numbers of the nodes' values in run order.
void print_order(const dt::Plan& plan) {
  std::size_t column = 0;
  for (const dt::PlanNode& node : plan.nodes) {
    const std::string text = " %" + std::to_string(node.first_value);
    if (column + text.size() > 100) {
      std::cout << '\n';
      column = 0;
    }
    std::cout << text;
    column += text.size();
  }
  std::cout << '\n';
}

// The lines of the plan that a pass removed and added, or the order if it only moved nodes.
void print_change(const dt::Plan& before, const dt::Plan& after) {
  const auto was = lines_of(to_string(before));
  const auto is = lines_of(to_string(after));
  bool changed = print_others("- ", was, is);
  changed = print_others("+ ", is, was) || changed;
  if (!changed && was != is) print_order(after);
}

struct Step {
  std::vector<dt::Var> outputs;
  std::vector<dt::Assign> assigns;
};

// [step]
// The demo's net for iris, and one step of training it with a forward gradient.
Step make_step(dt::Graph& g, const dt::Mlp& model) {
  const dt::Var x = g.input("x", {32, 4});
  const dt::Var labels = g.input("labels", {32}, dt::int64);
  const dt::Var lr = g.input("lr", {});
  const dt::Var key = g.input("key", {}, dt::int64);
  const dt::Var loss = dt::cross_entropy(model(x), labels).named("loss");

  const auto estimate = dt::forward_gradient(
      loss, model.parameters(), key, {.perturbation = dt::Perturbation::rademacher, .rank = 1});
  Step step{{loss}, {}};
  for (const dt::Parameter& p : model.parameters())
    step.assigns.push_back(dt::assign(p, p - lr * estimate.gradients[p]));
  return step;
}
// [/step]

void show_passes(const Step& step) {
  std::cout << "--- plan ---\n";
  // [passes]
  dt::Plan plan = dt::make_plan(step.outputs, step.assigns);
  std::cout << to_string(plan);
  for (const dt::Pass& pass : dt::passes()) {
    const dt::Plan before = plan;
    pass.run(plan);
    std::cout << "--- " << pass.name << " ---\n";
    print_change(before, plan);  // the lines that went and came, or else the new order
  }
  // [/passes]
  for (const dt::PlanAssign& assign : plan.assigns)
    std::cout << assign.parameter.name() << (assign.in_place ? " in place" : " copied") << '\n';
}

void list_passes() {
  std::cout << "--- passes ---\n";
  for (const dt::Pass& pass : dt::passes())
    std::cout << std::left << std::setw(16) << pass.name << pass.doc << '\n';
}

// How much each pass does: for the step, and for that of a net with sixteen hidden layers.
void show_without(const Step& step, const Step& deep) {
  std::cout << "--- without ---\n"
               "hidden layers                         one            sixteen\n";
  const auto line = [&](const std::string& what, const dt::CompileOptions& options) {
    std::cout << std::left << std::setw(24) << what << std::right;
    for (const Step* one : {&step, &deep}) {
      const dt::Program program = dt::compile(one->outputs, one->assigns, options);
      std::cout << std::setw(5) << program.steps() << " steps" << std::setw(7)
                << program.memory().arena_bytes << " B";
    }
    std::cout << '\n';
  };
  line("all passes", {});
  std::vector<std::string> optional;
  for (const dt::Pass& pass : dt::passes()) {
    if (!pass.optional) continue;
    optional.emplace_back(pass.name);
    line("without " + optional.back(), {{optional.back()}});
  }
  line("without any of them", {optional});
}

// [own-pass]
// sqrt(x^2) as |x|: saves a multiplication and does not overflow.
bool root_of_square(dt::Rewriter& rewriter, const dt::PlanNode& node) {
  if (node.op->name() != "sqrt") return false;
  const dt::PlanNode* const square = rewriter.producer(rewriter.operands(node)[0], "square");
  if (square == nullptr) return false;
  const dt::ValueId x = rewriter.operands(*square)[0];
  rewriter.replace_by(rewriter.add(dt::require_op("abs"), {}, {x}));
  return true;
}

void shorten_roots(dt::Plan& plan) {
  const std::vector<dt::Rewriter::Rule> rules{root_of_square};
  dt::rewrite(plan, rules);  // sweeps until nothing changes, then drops what nobody needs
}
// [/own-pass]

void show_own_pass() {
  // [use-own-pass]
  dt::Graph g;
  const dt::Var x = g.input("x", {3});
  dt::Plan plan = dt::make_plan(std::vector<dt::Var>{dt::sqrt(dt::square(x)) + 1}, {});
  const dt::Plan before = plan;
  shorten_roots(plan);
  // [/use-own-pass]
  std::cout << "--- own-pass ---\n";
  print_change(before, plan);
}

int show(bool drawing) {
  const dt::Mlp model({4, 16, 3}, dt::Key{7}, {.activation = dt::Activation::relu});
  dt::Graph g;
  const Step step = make_step(g, model);
  if (drawing) {
    std::cout << dt::compile(step.outputs, step.assigns).to_dot();
    return 0;
  }
  list_passes();
  show_passes(step);
  std::cout << "--- explain ---\n";
  // [explain]
  const dt::Program program = dt::compile(step.outputs, step.assigns);
  std::cout << program.explain();
  // [/explain]
  std::vector<std::int64_t> sizes(18, 64);
  sizes.front() = 4;
  sizes.back() = 3;
  const dt::Mlp deep_model(sizes, dt::Key{7});
  dt::Graph deep;
  show_without(step, make_step(deep, deep_model));
  show_own_pass();
  return 0;
}

}  // namespace

// With --dot: the compiled step as a Graphviz drawing.
int main(int argc, char** argv) {
  // The same library and number of threads everywhere, for the page shows what they are.
  setenv("DUALTAPE_PRODUCTS", "openblas", 1);  // NOLINT(concurrency-mt-unsafe)
  setenv("DUALTAPE_NUM_THREADS", "1", 1);      // NOLINT(concurrency-mt-unsafe)
  return show(argc > 1 && std::string_view(argv[1]) == "--dot");
}
