// Where a linear operator takes elements, found by running it on labels.
#include <algorithm>
#include <cmath>
#include <functional>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/sparsity/call.hpp>

namespace dualtape::detail {
namespace {

// Element e is given three numbers in a ratio that only it has: r : r (e + 1) : r h with random r
// and h. What comes out tells e if one element alone went in, whatever it was scaled by; a sum of
// several passes for one of them with a probability of about 2^-40.
struct Labels {
  static constexpr int runs = 3;

  static std::uint64_t mixed(std::uint64_t x) {
    x = (x + 0x9E3779B97F4A7C15ULL) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31U);
  }
  static double unit(std::uint64_t x) {
    return 1.0 + static_cast<double>(mixed(x) >> 12U) * 0x1p-52;
  }
  static double of(std::int64_t element, int run) {
    const auto e = static_cast<std::uint64_t>(element);
    const double r = unit(2 * e);
    if (run == 0) return r;
    return r * (run == 1 ? static_cast<double>(element + 1) : unit(2 * e + 1));
  }
  static constexpr std::int64_t nothing = -1;
  static constexpr std::int64_t several = -2;
  // Which element of `count` the numbers of the three runs come from.
  static std::int64_t read(double a, double b, double c, std::int64_t count) {
    if (a == 0 && b == 0 && c == 0) return nothing;
    const double number = std::round(b / a);
    if (!(number >= 1 && number <= static_cast<double>(count))) return several;
    const auto element = static_cast<std::int64_t>(number) - 1;
    const auto close = [](double x, double y) { return std::abs(x - y) <= 1e-12 * std::abs(y); };
    const bool is =
        close(b / a, number) && close(c / a, unit(2 * static_cast<std::uint64_t>(element) + 1));
    return is ? element : several;
  }
};

Type in_double(const Type& type) {
  return {type.shape, is_floating(type.dtype) ? float64 : type.dtype};
}

// The node's operator on tensors, by its kernel, in float64.
class KernelRun {
 public:
  KernelRun(const NodeView& node, std::vector<Tensor> operands) : in_(std::move(operands)) {
    std::vector<Type> types;
    for (const Tensor& tensor : in_) types.push_back(tensor.type());
    std::vector<const Type*> pointers;
    for (const Type& type : types) pointers.push_back(&type);
    Inference inference(node.op, pointers, node.attributes, {}, {});
    node.op.infer(inference);
    for (const Type& type : inference.out) out_.emplace_back(type);
    kernel_ = node.op.kernel({types, inference.out, node.attributes});
    workspace_ = Tensor(Shape{static_cast<std::int64_t>(kernel_.workspace_bytes / 8 + 8)}, float64);
  }
  bool fits(const NodeView& node) const {
    if (out_.size() != node.out.size()) return false;
    for (std::size_t k = 0; k < out_.size(); ++k)
      if (out_[k].type() != in_double(node.out[k].type()) || out_[k].dtype() != float64)
        return false;
    return true;
  }
  Tensor& in(std::size_t i) { return in_[i]; }
  const std::vector<Tensor>& run() {
    std::vector<const void*> from;
    for (const Tensor& tensor : in_) from.push_back(tensor.raw());
    std::vector<void*> to;
    for (Tensor& tensor : out_) to.push_back(tensor.raw());
    kernel_.run({from.data(), to.data(), workspace_.raw()});
    return out_;
  }

 private:
  std::vector<Tensor> in_;
  std::vector<Tensor> out_;
  Kernel kernel_;
  Tensor workspace_;
};

// The active operands' elements one after the other, and where each operand begins.
struct ActiveElements {
  explicit ActiveElements(const SparsityCall& call) {
    for (std::size_t i = 0; i < call.in.size(); ++i) {
      starts.push_back(static_cast<std::int64_t>(ids.size()));
      if (call.active(i)) ids.insert(ids.end(), call.ids(i).begin(), call.ids(i).end());
    }
  }
  std::int64_t count() const { return static_cast<std::int64_t>(ids.size()); }
  SetIds ids;
  std::vector<std::int64_t> starts;
};

// Tensors for all operands: zeros where active, and for what adds to it; values of the others.
std::optional<std::vector<Tensor>> operands_of(const SparsityCall& call) {
  std::vector<char> flags;
  for (std::size_t i = 0; i < call.in.size(); ++i) flags.push_back(call.active(i) ? 1 : 0);
  const auto linear = [&](const std::vector<char>& active) {
    return call.node.op.linear_in(call.node,
                                  {reinterpret_cast<const bool*>(active.data()), active.size()});
  };
  const bool alone = linear(flags);
  std::vector<char> with_floats = flags;
  for (std::size_t i = 0; i < flags.size(); ++i)
    if (is_floating(call.node.in[i].dtype())) with_floats[i] = 1;
  if (!alone && !linear(with_floats)) return std::nullopt;
  std::vector<Tensor> operands;
  for (std::size_t i = 0; i < flags.size(); ++i) {
    const Type type = in_double(call.node.in[i].type());
    if (flags[i] != 0 || (!alone && with_floats[i] != 0)) {
      operands.emplace_back(type);
      continue;
    }
    const std::optional<Tensor> value = is_floating(type.dtype)
                                            ? call.values.constant(call.node.in[i])
                                            : call.values.decided(call.node.in[i]);
    if (!value) return std::nullopt;
    operands.push_back(value->to(type.dtype));
  }
  return operands;
}

void write_labels(Tensor& tensor, std::int64_t first, int run) {
  for (double& x : tensor.data<double>()) x = Labels::of(first++, run);
}

// What three runs say of each element; nothing unless each comes from one element at most.
std::optional<std::vector<std::int64_t>> read_labels(std::span<const std::vector<double>> runs,
                                                     std::int64_t count) {
  std::vector<std::int64_t> found(runs[0].size());
  for (std::size_t e = 0; e < found.size(); ++e) {
    found[e] = Labels::read(runs[0][e], runs[1][e], runs[2][e], count);
    if (found[e] == Labels::several) return std::nullopt;
  }
  return found;
}

// Operators that move elements: each of their outputs' comes from one place or from none.
OutputSets by_own_kernel(const SparsityCall& call, KernelRun& kernel,
                         const ActiveElements& active) {
  std::vector<std::vector<std::vector<double>>> seen(call.node.out.size());  // by output and run
  for (int run = 0; run < Labels::runs; ++run) {
    for (std::size_t i = 0; i < call.in.size(); ++i)
      if (call.active(i)) write_labels(kernel.in(i), active.starts[i], run);
    const std::vector<Tensor>& out = kernel.run();
    for (std::size_t k = 0; k < out.size(); ++k) {
      const auto data = out[k].data<double>();
      seen[k].emplace_back(data.begin(), data.end());
    }
  }
  std::vector<SetIds> made;
  for (std::size_t k = 0; k < seen.size(); ++k) {
    const auto from = read_labels(seen[k], active.count());
    if (!from) return std::nullopt;
    made.push_back(call.empty_out(k));
    for (std::size_t e = 0; e < from->size(); ++e)
      if ((*from)[e] >= 0) made[k][e] = active.ids[static_cast<std::size_t>((*from)[e])];
  }
  return made;
}

// Small ones, whatever they add up: one element after the other.
OutputSets by_units(const SparsityCall& call, KernelRun& kernel, const ActiveElements& active) {
  std::int64_t out_elements = 0;
  for (std::size_t k = 0; k < call.node.out.size(); ++k) out_elements += call.count_out(k);
  constexpr std::int64_t most = 1'000'000;
  if (active.count() > 1024 || active.count() * out_elements > most) return std::nullopt;
  std::vector<SetIds> made;
  for (std::size_t k = 0; k < call.node.out.size(); ++k) made.push_back(call.empty_out(k));
  for (std::size_t i = 0; i < call.in.size(); ++i)
    if (call.active(i)) kernel.in(i).fill(0.0);
  for (std::size_t i = 0; i < call.in.size(); ++i) {
    if (!call.active(i)) continue;
    const auto data = kernel.in(i).data<double>();
    for (std::size_t e = 0; e < data.size(); ++e) {
      data[e] = 1;
      const std::vector<Tensor>& out = kernel.run();
      data[e] = 0;
      for (std::size_t k = 0; k < out.size(); ++k) {
        const auto seen = std::as_const(out[k]).data<double>();
        for (std::size_t o = 0; o < seen.size(); ++o)
          if (seen[o] != 0) made[k][o] = call.sets.unite(made[k][o], call.ids(i)[e]);
      }
    }
  }
  return made;
}

// The operator's node in a graph of its own, with cotangents that are fed.
struct TransposeRun {
  Graph graph;
  std::vector<Var> in, out, seeds;
  std::vector<std::size_t> wanted;  // operands
  std::vector<Var> cotangents;      // of them
  std::optional<Program> program;

  // False where it has no transpose that fits.
  bool build(const SparsityCall& call, const std::vector<Tensor>& operands) {
    const NodeView& node = call.node;
    std::vector<bool> flags;
    for (std::size_t i = 0; i < call.in.size(); ++i) {
      in.push_back(call.active(i) ? graph.input("x" + std::to_string(i), operands[i].shape(),
                                                operands[i].dtype())
                                  : graph.constant(operands[i]));
      flags.push_back(call.active(i));
      if (call.active(i)) wanted.push_back(i);
    }
    const NodeId id = graph.add(node.op, in, node.attributes, node.out[0].node().where);
    std::vector<MaybeVar> given;
    for (std::uint32_t k = 0; k < node.out.size(); ++k) {
      out.push_back(graph.var(id, k));
      seeds.push_back(graph.input("c" + std::to_string(k), out[k].shape(), out[k].dtype()));
      given.emplace_back(seeds.back());
    }
    const Attributes attributes = node.attributes;
    const std::vector<MaybeVar> found =
        node.op.transpose_all({node.op, in, out, attributes}, flags, given);
    for (const std::size_t i : wanted) {
      if (!found[i] || found[i]->type() != in[i].type()) return false;
      cotangents.push_back(*found[i]);
    }
    program = compile(cotangents);
    return true;
  }
  // What comes back to each wanted operand in three runs.
  std::vector<std::vector<std::vector<double>>> runs() {
    std::vector<std::vector<std::vector<double>>> seen(wanted.size());
    for (int run = 0; run < Labels::runs; ++run) {
      std::vector<Feed> feeds;
      std::int64_t first = 0;
      for (const Var& seed : seeds) {
        Tensor labels(seed.type());
        write_labels(labels, first, run);
        first += labels.count();
        feeds.emplace_back(seed, labels);
      }
      const Outputs results = program->run(feeds);
      for (std::size_t w = 0; w < wanted.size(); ++w) {
        const Tensor& result = results[cotangents[w]];
        const auto data = result.data<double>();
        seen[w].emplace_back(data.begin(), data.end());
      }
    }
    return seen;
  }
};

// Unites sets by where they go.
class Buckets {
 public:
  explicit Buckets(std::int64_t count) : starts_(static_cast<std::size_t>(count) + 1) {}
  void add(std::int64_t to, ElementSets::Id id) {
    if (id != ElementSets::none) pairs_.emplace_back(to, id);
  }
  SetIds united(ElementSets& sets) {
    for (const auto& [to, id] : pairs_) ++starts_[static_cast<std::size_t>(to) + 1];
    for (std::size_t b = 1; b < starts_.size(); ++b) starts_[b] += starts_[b - 1];
    SetIds sorted(pairs_.size());
    std::vector<std::size_t> next(starts_.begin(), starts_.end() - 1);
    for (const auto& [to, id] : pairs_) sorted[next[static_cast<std::size_t>(to)]++] = id;
    SetIds made;
    for (std::size_t b = 0; b + 1 < starts_.size(); ++b)
      made.push_back(
          sets.unite(std::span(sorted).subspan(starts_[b], starts_[b + 1] - starts_[b])));
    return made;
  }

 private:
  std::vector<std::size_t> starts_;
  std::vector<std::pair<std::int64_t, ElementSets::Id>> pairs_;
};

// Operators whose transpose moves elements: reductions, and those that add at places.
OutputSets by_transpose(const SparsityCall& call, const std::vector<Tensor>& operands) {
  const Kind kind = call.node.op.kind();
  if (kind != Kind::linear && kind != Kind::bilinear) return std::nullopt;
  TransposeRun transpose;
  if (!transpose.build(call, operands)) return std::nullopt;
  std::vector<std::int64_t> begins{0};
  for (std::size_t k = 0; k < call.node.out.size(); ++k)
    begins.push_back(begins.back() + call.count_out(k));
  Buckets buckets(begins.back());
  const auto seen = transpose.runs();
  for (std::size_t w = 0; w < seen.size(); ++w) {
    const auto to = read_labels(seen[w], begins.back());
    if (!to) return std::nullopt;
    const SetIds& ids = call.ids(transpose.wanted[w]);
    for (std::size_t e = 0; e < to->size(); ++e)
      if ((*to)[e] >= 0) buckets.add((*to)[e], ids[e]);
  }
  const SetIds all = buckets.united(call.sets);
  std::vector<SetIds> made;
  for (std::size_t k = 0; k + 1 < begins.size(); ++k)
    made.emplace_back(all.begin() + begins[k], all.begin() + begins[k + 1]);
  return made;
}

}  // namespace

OutputSets probe_linear(const SparsityCall& call) {
  std::optional<std::vector<Tensor>> operands = operands_of(call);
  if (!operands) return std::nullopt;
  const ActiveElements active(call);
  try {
    KernelRun kernel(call.node, *operands);
    if (!kernel.fits(call.node)) return std::nullopt;
    if (OutputSets made = by_own_kernel(call, kernel, active)) return made;
    if (OutputSets made = by_units(call, kernel, active)) return made;
    return by_transpose(call, *operands);
  } catch (const Error&) {
    return std::nullopt;  // an operator that does not take float64, or these values
  }
}

}  // namespace dualtape::detail
