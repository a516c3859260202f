// Sparse derivatives against dense ones: what check_op does for every sample call.
#include <algorithm>
#include <cmath>
#include <optional>
#include <sstream>

#include <dualtape/modes/check/check_case.hpp>
#include <dualtape/modes/sparsity.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/reduce.hpp>

namespace dualtape::detail {
namespace {

// One floating output of one sample call as a function of one of its floating inputs, in float64.
class SparseCall {
 public:
  SparseCall(const Case& sample, std::size_t output, std::size_t input)
      : sample_(sample), output_(output), input_(input) {}

  Tensor point(Key key) const { return value_of(input_, key); }
  // The others as they are drawn from the key.
  VarFunction at(Key key) const {
    return [this, key](std::span<const Var> x) {
      std::vector<Var> in;
      for (std::size_t i = 0; i < sample_.args.size(); ++i)
        in.push_back(i == input_ ? x[0] : x[0].graph().constant(value_of(i, key)));
      return sample_.build(in)[output_];
    };
  }

 private:
  Tensor value_of(std::size_t i, Key key) const {
    const Arg& arg = sample_.args[i];
    return draw(arg, key.fold(i), is_floating(arg.dtype) ? float64 : arg.dtype);
  }
  const Case& sample_;
  std::size_t output_;
  std::size_t input_;
};

// f(call, output, input) for each floating output by each floating input.
template <class F>
void each_call(const Case& sample, F f) {
  Graph graph;
  std::vector<Var> in;
  for (const Arg& arg : sample.args)
    in.push_back(graph.input("x" + std::to_string(in.size()), arg.shape,
                             is_floating(arg.dtype) ? float64 : arg.dtype));
  const std::vector<Var> out = sample.build(in);
  for (std::size_t k = 0; k < out.size(); ++k)
    for (std::size_t i = 0; i < in.size(); ++i)
      if (is_floating(out[k].dtype()) && is_floating(in[i].dtype()))
        f(SparseCall(sample, k, i), k, i);
}

Tensor as_matrix(const Tensor& dense, const Csr<Tensor>& like) {
  return dense.reshape({like.row_count, like.column_count});
}

class SparseCheck {
 public:
  SparseCheck(const Case& sample, Key key, CheckReport& report)
      : sample_(sample), key_(key), report_(report) {}

  void run(const SparseCall& call, const std::string& which) {
    const VarFunction f = call.at(key_);
    const Tensor x = call.point(key_), elsewhere = call.point(key_.fold(1000));
    const Tensor dense = jacobian(f)(x);
    for (const Sweeps sweeps : {Sweeps::columns, Sweeps::rows}) {
      const SparseFunction sparse = sparse_jacobian(f, {.sweeps = sweeps});
      compare(which + ", Jacobian", sparse(x), dense);
    }
    const SparseFunction at_point = sparse_jacobian(f, {.at_point = true});
    compare(which + ", Jacobian with the pattern of its point", at_point(x), dense);
    compare(which + ", the same prepared at another point", at_point(elsewhere),
            jacobian(f)(elsewhere));
    if (x.count() > 12) return;
    const VarFunction weighted = [&](std::span<const Var> in) {
      const Var y = f(in);
      return sum(y * uniform(key_.fold(500), y.shape(), -1, 1, y.dtype()));
    };
    compare(which + ", Hessian", sparse_hessian(weighted)(x), hessian(weighted)(x));
  }

 private:
  void compare(const std::string& what, const Csr<Tensor>& got, const Tensor& wanted) {
    ++report_.checks;
    const Tensor all = to_dense(got), dense = as_matrix(wanted, got);
    const auto a = std::as_const(all).data<double>(), b = dense.data<double>();
    double largest = 1, gap = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
      largest = std::max(largest, std::abs(b[i]));
      gap = std::isfinite(a[i] - b[i]) ? std::max(gap, std::abs(a[i] - b[i])) : INFINITY;
    }
    if (gap <= 1e-11 * largest) return;
    std::ostringstream out;
    out << "case '" << sample_.name << "', " << what << ", key " << key_.value() << ": sparse is "
        << gap << " apart from dense where the largest value is " << largest;
    report_.failures.push_back(out.str());
  }

  const Case& sample_;
  Key key_;
  CheckReport& report_;
};

}  // namespace

void check_sparse(const Case& sample, const OpInfo& info, Key key, CheckReport& report) {
  if (info.kind == Kind::none) return;
  each_call(sample, [&](const SparseCall& call, std::size_t output, std::size_t input) {
    SparseCheck(sample, key, report)
        .run(call, "output " + std::to_string(output) + " by input " + std::to_string(input));
  });
}

namespace {

// The entries that each floating input moves each element of a floating output by, at some of
// several points. Integers and truth values are the same at all of them.
class MovedEntries {
 public:
  MovedEntries(const Case& sample, std::size_t output, Key key) : sample_(sample), key_(key) {
    const auto f = [this, output](std::span<const Var> x) {
      std::vector<Var> in;
      std::size_t next = 0;
      for (std::size_t i = 0; i < sample_.args.size(); ++i)
        in.push_back(is_floating(sample_.args[i].dtype) ? x[next++]
                                                        : x[0].graph().constant(value(i, 0)));
      return sample_.build(in)[output];
    };
    const auto blocks = jacobian(f);
    constexpr std::uint64_t points = 24;
    for (std::uint64_t p = 0; p < points; ++p) {
      std::vector<Tensor> x;
      for (std::size_t i = 0; i < sample_.args.size(); ++i)
        if (is_floating(sample_.args[i].dtype)) x.push_back(value(i, p));
      add(blocks(x));
    }
  }
  std::size_t of(std::size_t floating_input) const {
    return static_cast<std::size_t>(std::ranges::count(moved_[floating_input], true));
  }

 private:
  Tensor value(std::size_t i, std::uint64_t point) const {
    const Arg& arg = sample_.args[i];
    return draw(arg, key_.fold(point).fold(i), is_floating(arg.dtype) ? float64 : arg.dtype);
  }
  void add(const std::vector<Tensor>& blocks) {
    moved_.resize(blocks.size());
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      const auto data = blocks[b].data<double>();
      moved_[b].resize(data.size());
      for (std::size_t e = 0; e < data.size(); ++e)
        if (data[e] != 0) moved_[b][e] = true;
    }
  }

  const Case& sample_;
  Key key_;
  std::vector<std::vector<bool>> moved_;  // by floating input and entry
};

}  // namespace

SparseOutcome sparse_outcome(const Case& sample, Key key) {
  SparseOutcome found = SparseOutcome::exact;
  std::optional<MovedEntries> moved;
  std::size_t of_output = sample.args.size(), floating = 0;
  each_call(sample, [&](const SparseCall& call, std::size_t output, std::size_t) {
    if (!moved || of_output != output) {
      moved.emplace(sample, output, key);
      of_output = output;
      floating = 0;
    }
    const Key start = key.fold(0);
    const SparsityPattern pattern = jacobian_sparsity(call.at(start), call.point(start));
    const auto entries = static_cast<std::size_t>(pattern.entries());
    if (entries == moved->of(floating++)) return;
    if (pattern.entries() < pattern.row_count * pattern.column_count)
      found = SparseOutcome::superset;
    else if (found == SparseOutcome::exact)
      found = SparseOutcome::dense;
  });
  return found;
}

}  // namespace dualtape::detail
