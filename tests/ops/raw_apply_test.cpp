// Every operator of the registry called as its function would not call it: with other operands, and
// with other numbers in its attributes. It must run or refuse, and never read what is not there.
#include <doctest/doctest.h>

#include <algorithm>
#include <exception>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include <dualtape/core/kinds.hpp>
#include <dualtape/core/program.hpp>
#include <dualtape/core/registry.hpp>
#include <dualtape/ops/creation.hpp>
#include <tests/errors.hpp>

namespace dt = dualtape;
using dt::testing::contains;
using dt::testing::error_of;

namespace {

// What a node was made of.
struct Call {
  dt::Attributes attributes;
  std::vector<dt::Type> operands;
};

// The calls of `op` in its own sample calls, one for each set of attributes.
std::vector<Call> sample_calls(const dt::Entry& entry) {
  std::vector<Call> calls;
  std::set<std::string> seen;
  for (const dt::Case& sample : entry.cases()) {
    dt::Graph graph;
    std::vector<dt::Var> in;
    for (const dt::Arg& arg : sample.args)
      in.push_back(graph.constant(dt::draw(arg, dt::Key{1}, dt::float64)));
    sample.build(in);
    for (dt::NodeId id = 0; id < graph.size(); ++id) {
      const dt::Node& node = graph.node(id);
      if (node.op != entry.op || !seen.insert(to_string(node.attributes)).second) continue;
      Call call{node.attributes, {}};
      for (const dt::Ref input : node.inputs()) call.operands.push_back(graph.var(input).type());
      calls.push_back(std::move(call));
    }
  }
  return calls;
}

// Makes and runs the node; what it threw if that was no refusal of the library's, else nothing.
std::string fault_of(const dt::Op& op, const Call& call) {
  try {
    dt::Graph graph;
    std::vector<dt::Var> operands;
    for (const dt::Type& type : call.operands)
      operands.push_back(graph.constant(dt::ones(type.shape, type.dtype)));
    // apply() itself refuses to be called without operands.
    const std::vector<dt::In> in(operands.begin(), operands.end());
    const dt::Var out = in.empty() ? graph.var(graph.add(op, operands, call.attributes, {}))
                                   : dt::apply(op, std::span<const dt::In>(in), call.attributes);
    dt::compile({out}).run({});
  } catch (const dt::Error&) {
    return {};
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
}

void check(const dt::Op& op, const Call& call) {
  std::string text = std::string(op.name()) + " [" + to_string(call.attributes) + "]";
  for (const dt::Type& type : call.operands) text += ' ' + to_string(type);
  const std::string fault = fault_of(op, call);
  CHECK_MESSAGE(fault.empty(), text << ": " << fault);
}

// The attributes with another value for one of them.
dt::Attributes with_other(const dt::Attributes& attributes, const std::string& name,
                          const dt::Attribute& value) {
  dt::Attributes changed;
  for (const dt::Attributes::Entry& entry : attributes.entries())
    changed = changed.with(entry.first, entry.first == name ? value : entry.second);
  return changed;
}

}  // namespace

TEST_CASE("operators called with other operands than theirs run or refuse them") {
  const std::vector<dt::Shape> shapes{{}, {3}, {2, 3}, {3, 3}, {0, 3}, {2, 2, 2, 2}};
  for (const dt::Entry& entry : dt::all_entries()) {
    if (entry.op == nullptr) continue;
    for (const Call& call : sample_calls(entry)) {
      check(*entry.op, {call.attributes, {}});
      for (const dt::DType dtype : {dt::float64, dt::int64, dt::boolean})
        for (std::size_t count = 1; count <= 4; ++count)
          for (const dt::Shape& first : shapes)
            for (const dt::Shape& rest : shapes) {
              if (count == 1 && first != rest) continue;
              std::vector<dt::Type> operands(count, {rest, dtype});
              operands[0].shape = first;
              check(*entry.op, {call.attributes, operands});
            }
    }
  }
}

TEST_CASE("operators called with other numbers in their attributes run or refuse them") {
  for (const dt::Entry& entry : dt::all_entries()) {
    if (entry.op == nullptr) continue;
    for (const Call& call : sample_calls(entry))
      for (const auto& [name, value] : call.attributes.entries()) {
        std::vector<dt::Attribute> others;
        if (std::holds_alternative<std::int64_t>(value))
          others = {std::int64_t{-1}, std::int64_t{0}, std::int64_t{9}};
        else if (const auto* const ints = std::get_if<dt::Ints>(&value))
          others = {dt::Ints{}, dt::Ints(1, -1), dt::Ints(ints->size(), 0),
                    dt::Ints(ints->size(), -1)};
        for (const dt::Attribute& other : others)
          check(*entry.op, {with_other(call.attributes, name, other), call.operands});
      }
  }
}

TEST_CASE("the normalisations' operators name the operands that do not fit") {
  dt::Graph graph;
  const dt::Var x = graph.input("x", {2, 3});
  const dt::Var number = graph.input("number", {});
  const dt::Attributes epsilon{{"epsilon", 1e-5}};
  const auto text = [&]<class E>(E*, const char* name, std::initializer_list<dt::In> operands) {
    return error_of<E>([&] { apply(dt::require_op(name), operands, epsilon); });
  };
  dt::ShapeError* const shape = nullptr;
  dt::GraphError* const count = nullptr;
  CHECK(contains(text(count, "rms_norm", {x, x, x}), "takes 1 operand"));
  CHECK(contains(text(shape, "rms_norm", {number}), "axis -1 is out of range"));
  CHECK(contains(text(shape, "rms_norm", {x, x}), "scale has shape (2, 3)"));
  CHECK(contains(text(count, "batch_norm", {x}), "takes 3 operands, got 1"));
  CHECK(contains(text(shape, "batch_norm", {number, number, number}), "no axis of channels"));
  CHECK(contains(text(shape, "batch_norm", {x, number, number}), "scale has shape ()"));
}
