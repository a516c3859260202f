#include <dualtape/modes/sparsity.hpp>

#include <algorithm>
#include <array>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include <dualtape/core/program.hpp>
#include <dualtape/core/tensor/new_tensor.hpp>
#include <dualtape/modes/sparsity/derivative.hpp>

namespace dualtape {

Tensor to_dense(const Csr<Tensor>& matrix, Location where) {
  Tensor dense = detail::new_tensor(
      "to_dense", {Shape({matrix.row_count, matrix.column_count}, where), matrix.values.dtype()},
      where);
  const auto starts = matrix.row_starts.data<std::int64_t>();
  const auto columns = matrix.columns.data<std::int64_t>();
  dispatch(dense.dtype(), [&]<class T>() {
    const auto values = matrix.values.data<T>();
    const auto to = dense.data<T>();
    std::ranges::fill(to, T(0));
    for (std::size_t i = 0; i + 1 < starts.size(); ++i)
      for (auto k = static_cast<std::size_t>(starts[i]);
           k < static_cast<std::size_t>(starts[i + 1]); ++k)
        to[i * static_cast<std::size_t>(matrix.column_count) +
           static_cast<std::size_t>(columns[k])] = values[k];
  });
  return dense;
}

namespace {

void refuse_point(const SparseOptions& options, const char* function, Location where) {
  if (options.at_point)
    fail<ValueError>({.op = function,
                      .what = "a pattern at a point was asked for, and a Var has no value",
                      .where = where,
                      .help = "leave at_point out, or call the function with Tensors"});
}

}  // namespace

SparsityPattern jacobian_sparsity(Var y, Var x, Location where) {
  return detail::SparseTask{"jacobian_sparsity", detail::SparseKind::jacobian, y, x, {}, where}
      .pattern();
}
SparsityPattern hessian_sparsity(Var y, Var x, Location where) {
  return detail::SparseTask{"hessian_sparsity", detail::SparseKind::hessian, y, x, {}, where}
      .pattern();
}
Csr<Var> sparse_jacobian(Var y, Var x, const SparseOptions& options, Location where) {
  refuse_point(options, "sparse_jacobian", where);
  return detail::SparseTask{"sparse_jacobian", detail::SparseKind::jacobian, y, x, options, where}
      .derivative()
      .matrix;
}
Csr<Var> sparse_hessian(Var y, Var x, const SparseOptions& options, Location where) {
  refuse_point(options, "sparse_hessian", where);
  return detail::SparseTask{"sparse_hessian", detail::SparseKind::hessian, y, x, options, where}
      .derivative()
      .matrix;
}

namespace detail {

namespace {

// The programs of one function for arguments of some types.
class Prepared {
 public:
  Prepared(const VarFunction& f, SparseKind kind, const SparseOptions& options, Called called,
           std::span<const Tensor> x)
      : called_(called) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      inputs_.push_back(
          graph_.input("x" + std::to_string(i), x[i].shape(), x[i].dtype(), called.where));
      feeds_.emplace_back(inputs_[i], x[i], called.where);
    }
    value_ = require_alive(f(inputs_), called.function, "what the function returns", called.where);
    const SparseTask task{called.function, kind, value_, inputs_[0], options, called.where};
    made_ = task.derivative(options.at_point ? &feeds_ : nullptr);
    forget();
  }

  bool fits(std::span<const Tensor> x) const {
    return std::ranges::equal(inputs_, x, [](const Var& input, const Tensor& given) {
      return input.type() == given.type();
    });
  }
  SparseInfo info() const { return made_.info; }

  // The derivative at x, and the value where it is asked for; nothing where what decides has
  // changed.
  std::optional<ValueAndCsr> run(std::span<const Tensor> x, bool with_value) {
    std::optional<Program>& program = with_value ? both_ : alone_;
    if (!program) program = compile(outputs(with_value), {}, called_.where);
    for (std::size_t i = 0; i < x.size(); ++i) feeds_[i].value = x[i];
    const Outputs out = program->run(feeds_, called_.where);
    forget();
    for (const KnownValues::Decision& decision : made_.decisions)
      if (!identical(out[{decision.var, called_.where}], decision.value)) return std::nullopt;
    const Csr<Var>& m = made_.matrix;
    ValueAndCsr result{
        {}, {m.row_count, m.column_count, m.row_starts, m.columns, out[{m.values, called_.where}]}};
    if (with_value) result.value = out[{value_, called_.where}];
    return result;
  }

 private:
  std::vector<Var> outputs(bool with_value) const {
    std::vector<Var> all{made_.matrix.values};
    if (with_value) all.push_back(value_);
    for (const KnownValues::Decision& decision : made_.decisions) all.push_back(decision.var);
    return all;
  }
  // The caller's memory is not kept.
  void forget() {
    for (Feed& feed : feeds_) feed.value = Tensor();
  }

  Called called_;
  Graph graph_;
  std::vector<Var> inputs_;
  std::vector<Feed> feeds_;
  Var value_;
  SparseDerivative made_;
  std::optional<Program> alone_;
  std::optional<Program> both_;
};

}  // namespace

struct SparseCache::Impl {
  VarFunction f;
  SparseKind kind;
  SparseOptions options;
  Called called;
  std::mutex mutex;
  std::vector<std::unique_ptr<Prepared>> idle;  // the one used last at the end

  // One that no other thread has meanwhile.
  std::unique_ptr<Prepared> take(std::span<const Tensor> x) {
    {
      const std::lock_guard lock(mutex);
      const auto found = std::ranges::find_if(idle, [&](const auto& one) { return one->fits(x); });
      if (found != idle.end()) {
        std::unique_ptr<Prepared> taken = std::move(*found);
        idle.erase(found);
        return taken;
      }
    }
    return prepared(x);
  }
  std::unique_ptr<Prepared> prepared(std::span<const Tensor> x) const {
    return std::make_unique<Prepared>(f, kind, options, called, x);
  }
  void give_back(std::unique_ptr<Prepared> one) {
    constexpr std::size_t most_idle = 16;
    const std::lock_guard lock(mutex);
    if (idle.size() == most_idle) idle.erase(idle.begin());
    idle.push_back(std::move(one));
  }
  ValueAndCsr run(std::span<const Tensor> x, bool with_value) {
    std::unique_ptr<Prepared> one = take(x);
    std::optional<ValueAndCsr> result = one->run(x, with_value);
    if (!result) {
      one = prepared(x);
      result = one->run(x, with_value);
    }
    if (!result)
      fail<ValueError>(
          {.op = called.function,
           .what = "what decides the pattern differs from one run to the next at the same point",
           .where = called.where,
           .help = "leave at_point out"});
    give_back(std::move(one));
    return std::move(*result);
  }
};

SparseCache::SparseCache(VarFunction f, SparseKind kind, const SparseOptions& options,
                         Called called)
    : impl_(new Impl{std::move(f), kind, options, called, {}, {}}) {}
SparseCache::~SparseCache() = default;

Csr<Tensor> SparseCache::derivative(std::span<const Tensor> x) {
  return impl_->run(x, false).derivative;
}
ValueAndCsr SparseCache::value_and(std::span<const Tensor> x) { return impl_->run(x, true); }
SparseInfo SparseCache::info(std::span<const Tensor> x) {
  std::unique_ptr<Prepared> one = impl_->take(x);
  SparseInfo info = one->info();
  impl_->give_back(std::move(one));
  return info;
}
Csr<Var> SparseCache::of_vars(std::span<const Var> x) const {
  refuse_point(impl_->options, impl_->called.function, impl_->called.where);
  const Var y = impl_->f(x);
  return SparseTask{impl_->called.function, impl_->kind,        y, x[0],
                    impl_->options,         impl_->called.where}
      .derivative()
      .matrix;
}

}  // namespace detail
}  // namespace dualtape
