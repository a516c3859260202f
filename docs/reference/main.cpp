// Prints docs/reference.md: every operator of the registry with its signatures and the modes it
// has, and the other functions of the public headers, of the tree that the first argument names. A
// test holds the page to what this prints, so an operator that loses a mode is found.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <dualtape/core/registry.hpp>
#include <dualtape/dualtape.hpp>
#include <dualtape/modes/check/check_case.hpp>

#include "common/declarations.hpp"
#include "common/files.hpp"
#include "examples/interval_rules.hpp"
namespace dt = dualtape;
namespace fs = std::filesystem;

namespace {

using Vars = std::vector<dt::Var>;

// One sample call in a graph of its own.
struct Call {
  Call(const dt::Case& sample, dt::DType dtype) {
    for (const dt::Arg& arg : sample.args) {
      const bool floating = arg.dtype == dt::float64;
      in.push_back(
          graph.input("x" + std::to_string(in.size()), arg.shape, floating ? dtype : arg.dtype));
      if (floating) wrt.push_back(in.back());
    }
    for (const dt::Var& var : sample.build(in))
      if (dt::is_floating(var.dtype())) out.push_back(var);
  }
  dt::Graph graph;
  Vars in;
  Vars wrt;
  Vars out;
};

Vars inputs_like(Call& call, const Vars& vars, const std::string& name) {
  Vars inputs;
  for (const dt::Var& var : vars)
    inputs.push_back(
        call.graph.input(name + std::to_string(inputs.size()), var.shape(), var.dtype()));
  return inputs;
}
std::vector<dt::MaybeVar> tangents(Call& call) {
  const Vars directions = inputs_like(call, call.wrt, "v");
  return dt::forward_all(call.out, call.wrt, directions);
}
Vars cotangents(Call& call) {
  const Vars seeds = inputs_like(call, call.out, "c");
  return dt::vjp(call.out, call.wrt, seeds, dt::Unreachable::zero).all();
}

// What a mode makes of all sample calls: each adds its derivatives to the call's graph.
template <class Mode>
std::string_view outcome(const dt::Entry& entry, dt::DType dtype, Mode mode) {
  for (const dt::Case& sample : entry.cases()) {
    try {
      Call call(sample, dtype);
      if (!call.wrt.empty() && !call.out.empty()) mode(call);
    } catch (const dt::DerivativeError&) {
      return "error";
    } catch (const dt::TypeError&) {
      return "no";
    }
  }
  return "yes";
}
std::string_view built(const dt::Entry& entry, dt::DType dtype) {
  return outcome(entry, dtype, [](Call& call) { dt::compile(call.out); });
}
std::string_view forward_mode(const dt::Entry& entry) {
  return outcome(entry, dt::float64, [](Call& call) { tangents(call); });
}
std::string_view reverse_mode(const dt::Entry& entry) {
  return outcome(entry, dt::float64, [](Call& call) { cotangents(call); });
}
// Forward over reverse and reverse over forward.
std::string_view second_order(const dt::Entry& entry) {
  const std::string_view hvp = outcome(entry, dt::float64, [](Call& call) {
    const Vars gradients = cotangents(call);
    call.out = gradients;
    tangents(call);
  });
  const std::string_view other = outcome(entry, dt::float64, [](Call& call) {
    Vars slopes;
    for (const dt::MaybeVar& tangent : tangents(call))
      if (tangent) slopes.push_back(*tangent);
    call.out = slopes;
    if (!slopes.empty()) cotangents(call);
  });
  return hvp == "yes" ? other : hvp;
}

// The linear map at a point, by apply and by its transpose, which is transposed once more.
std::string_view linearized(const dt::Entry& entry) {
  return outcome(entry, dt::float64, [](Call& call) {
    std::vector<dt::Type> types;
    std::int64_t count = 0;
    for (const dt::Var& x : call.wrt) {
      types.push_back(x.type());
      count += x.shape().count();
    }
    for (const dt::Var& y : call.out) {
      const auto apply = [&](std::span<const dt::Var> v) {
        const dt::MaybeVar moved = dt::forward_all({y}, call.wrt, {v.begin(), v.end()})[0];
        return moved ? *moved : dt::zeros_like(y);
      };
      const auto once = dt::transpose(apply, types);
      const auto joined = [&once](dt::Var c) {
        Vars flat;
        for (const dt::Var& x : once.all(c)) flat.push_back(dt::reshape(x, {x.shape().count()}));
        return dt::concat(flat);
      };
      dt::transpose(joined, {y.type()})(
          call.graph.input("v of " + std::to_string(call.graph.size()), {count}, dt::float64));
    }
  });
}

// A series to order 3 along one direction of each input.
std::string_view series(const dt::Entry& entry) {
  return outcome(entry, dt::float64, [](Call& call) {
    std::vector<std::vector<dt::MaybeVar>> paths;
    for (const dt::Var& v : inputs_like(call, call.wrt, "v")) paths.push_back({v});
    dt::taylor_all(call.out, call.wrt, paths, 3);
  });
}

// Whether a batch is done at once, or by a node that loops over its members.
std::string_view batching(const dt::Entry& entry) {
  for (const dt::Case& sample : entry.cases()) {
    dt::Graph graph;
    Vars in;
    for (const dt::Arg& arg : sample.args) {
      dt::Ints sizes = arg.shape.vector();
      sizes.insert(sizes.begin(), 2);
      in.push_back(graph.input("x" + std::to_string(in.size()), dt::Shape(sizes), arg.dtype));
    }
    const dt::VmapOptions options;
    const dt::detail::Batched batch(in, options, {"reference", {}});
    const dt::NodeId first = static_cast<dt::NodeId>(graph.size());
    batch.for_all(sample.build(batch.of_one()));
    for (dt::NodeId id = first; id < graph.size(); ++id)
      if (graph.node(id).attributes.has("members")) return "loop";
  }
  return "yes";
}

// Why boxes of the floating operands do not go through; "" where they do.
std::string why_no_intervals(const dt::Entry& entry) {
  for (const dt::Case& sample : entry.cases()) {
    dt::Graph graph;
    Vars in, moving;
    std::vector<intervals::Interval> boxes;
    for (const dt::Arg& arg : sample.args) {
      in.push_back(graph.input("x" + std::to_string(in.size()), arg.shape, arg.dtype));
      if (!dt::is_floating(arg.dtype)) continue;
      moving.push_back(in.back());
      boxes.push_back({in.back(), in.back()});
    }
    const Vars out = sample.build(in);
    intervals::IntervalMode mode;
    intervals::teach(mode);
    try {
      mode.run(graph, moving, boxes, out);
    } catch (const dt::GraphError& error) {
      const std::string text = error.what();
      const std::size_t why = text.find("it: ") + 4;
      return text.substr(why, text.find('\n') - why);
    }
  }
  return "";
}
using Reasons = std::map<std::string, std::string>;  // names by why they have no intervals
void print_no_intervals(const Reasons& reasons) {
  std::cout << "\nWhere *intervals* says no:\n\n";
  for (const auto& [why, names] : reasons) std::cout << "- " << why << ": " << names << ".\n";
}

// What sparse derivatives find of its pattern.
std::string_view sparse(const dt::Entry& entry) {
  using dt::detail::SparseOutcome;
  SparseOutcome found = SparseOutcome::exact;
  for (const dt::Case& sample : entry.cases()) {
    try {
      found = std::max(found, dt::detail::sparse_outcome(sample));
    } catch (const dt::DerivativeError&) {
      return "error";
    }
  }
  constexpr std::string_view names[] = {"exact", "dense", "superset"};
  return names[static_cast<std::size_t>(found)];
}

void print_coverage(const std::vector<dt::Entry>& entries) {
  Reasons reasons;
  std::cout << "| operator | kind | float32 | float64 | jvp | vjp | second order | linearized | "
               "Taylor | batched | sparse | intervals | fused |\n"
               "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
  for (const dt::Entry& entry : entries) {
    const dt::OpInfo& info = entry.info;
    const bool constant = info.kind == dt::Kind::zero_derivative;
    std::cout << "| [" << info.name << "](#" << info.name << ") | " << dt::name_of(info.kind)
              << " | " << built(entry, dt::float32) << " | " << built(entry, dt::float64);
    for (const std::string_view mode : {forward_mode(entry), reverse_mode(entry),
                                        second_order(entry), linearized(entry), series(entry)})
      std::cout << " | " << (constant && mode == "yes" ? "zero" : mode);
    const bool recorded = entry.op != nullptr && entry.op->recording() != nullptr;
    const std::string why = why_no_intervals(entry);
    if (!why.empty()) reasons[why] += (reasons[why].empty() ? "" : ", ") + std::string(info.name);
    std::cout << " | " << batching(entry) << " | " << (constant ? "zero" : sparse(entry)) << " | "
              << (why.empty() ? "yes" : "no") << " | " << (recorded ? "yes" : "") << " |\n";
  }
  print_no_intervals(reasons);
}

std::string sentence(std::string_view text) {
  return std::string(text) + (text.ends_with('.') ? "" : ".");
}

using Declarations = std::vector<dt::docs::Declaration>;

// Those of a folder's public headers, by header.
std::map<std::string, Declarations> declared_in(const fs::path& tree, const std::string& folder,
                                                Declarations (*read)(std::string_view)) {
  std::map<std::string, Declarations> found;
  for (const auto& file : fs::directory_iterator(tree / folder)) {
    if (file.path().extension() != ".hpp") continue;
    const Declarations declarations = read(dt::docs::read_file(file.path()));
    if (!declarations.empty()) found[folder + "/" + file.path().filename().string()] = declarations;
  }
  return found;
}
std::map<std::string, Declarations> functions_in(const fs::path& tree, const std::string& folder) {
  return declared_in(tree, folder, dt::docs::functions_of);
}

void print_block(const Declarations& declarations) {
  std::cout << "```cpp\n";
  for (const dt::docs::Declaration& declaration : declarations)
    std::cout << declaration.text << "\n";
  std::cout << "```\n";
}

void print_entry(const dt::OpInfo& info, const std::map<std::string, Declarations>& by_name) {
  std::cout << "\n### " << info.name << "\n\n" << sentence(info.doc) << "\n\n";
  const auto own = by_name.find(std::string(info.name));
  if (own != by_name.end()) {
    print_block(own->second);
    std::cout << "\n";
  }
  if (!info.math.empty()) std::cout << "    " << info.math << "\n";
  if (!info.reason.empty())
    std::cout << "\n"
              << (info.kind == dt::Kind::none ? "No derivative" : "The derivative is zero") << ": "
              << info.reason << ".\n";
  std::cout << "\n```cpp\n"
            << info.example.code << "\n```\n\n```text\n"
            << info.example.prints << "\n```\n";
}

// What a user calls beside the operators.
void print_others(const fs::path& tree, const std::vector<dt::Entry>& entries) {
  std::cout << "\n## Other functions\n\nBy header, with the structs of their options and results; "
               "classes, and what each function throws, are told in the headers themselves.\n";
  for (const char* folder : {"core", "ops", "modes", "models", "data"}) {
    auto functions = functions_in(tree, folder);
    auto structs = declared_in(tree, folder, dt::docs::structs_of);
    for (const auto& [header, declarations] : structs) functions[header];
    for (auto& [header, declarations] : functions) {
      std::erase_if(declarations, [&](const dt::docs::Declaration& one) {
        return std::ranges::any_of(
            entries, [&](const dt::Entry& entry) { return entry.info.name == one.name; });
      });
      if (declarations.empty() && !structs.contains(header)) continue;
      std::cout << "\n### <dualtape/" << header << ">\n\n";
      if (!declarations.empty()) print_block(declarations);
      if (!declarations.empty() && structs.contains(header)) std::cout << "\n";
      if (structs.contains(header)) print_block(structs[header]);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: dualtape-reference TREE > docs/reference.md\n";
    return 1;
  }
  const fs::path tree = argv[1];
  const std::vector<dt::Entry> entries = dt::all_entries();
  std::map<std::string, Declarations> by_name;
  for (const char* folder : {"ops", "modes"})
    for (const auto& [header, declarations] : functions_in(tree, folder))
      for (const dt::docs::Declaration& one : declarations) by_name[one.name].push_back(one);
  std::cout << R"(# Operators

Every operator of the library, from the registry that the tests walk as well, and
[the other functions](#other-functions), from the headers. This page is written by
`build/release/dualtape-reference . > docs/reference.md`; a test holds it to what that prints. How to add an
operator of your own: [operators.md](operators.md).

## Modes

What each operator offers. *jvp* is forward mode, *vjp* reverse mode, *second order* both nestings of the
two; *zero* says that the derivative is zero by definition, *error* that asking for one is an error which
gives the reason. *linearized* is the derivative at a point as a linear map, which `linearize` applies and
transposes, and whose transpose is transposed once more. *Taylor* is a power series to order 3. *batched* is how
`vmap` does it: all members at once, or in a node that loops over them. *sparse* is what sparse derivatives find of its
Jacobian's pattern: *exact* where each entry moves somewhere, *superset* where some never do or values decide (of samples
at 24 points), *dense* where all entries are taken to move though fewer do. *intervals* are those of
[examples/intervals.hpp](examples/intervals.hpp): bounds of what the operator gives for operands out of a box. *fused*
operators have a recorded formula, so that chains of them run as one loop. A
composite is a function written with operators. Some operators are made by derivatives and by the planner
only.

)";
  print_coverage(entries);
  std::cout << "\n## One by one\n\nAn `In` is a `Var`, a `Parameter`, a `Tensor` or a number. In "
               "the examples "
               "`g` is a `Graph`.\n";
  for (const dt::Entry& entry : entries) print_entry(entry.info, by_name);
  print_others(tree, entries);
  return 0;
}
