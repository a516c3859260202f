#include <dualtape/modes/value_and_grad.hpp>

namespace dualtape::detail {

Gradient::Gradient(VarFunction f, std::optional<std::vector<Parameter>> by, Location where)
    : f_(std::move(f)),
      by_(std::move(by)),
      where_(where),
      cache_(std::make_shared<FunctionCache>()) {}

std::vector<Var> Gradient::operator()(std::span<const Var> x) const {
  require_callable(cache_ != nullptr, "value_and_grad", where_);
  const Var value = f_(x);
  if (!value.defined())
    fail<GraphError>({.op = "value_and_grad",
                      .what = "the function returned an empty Var",
                      .where = where_,
                      .help = "return what it makes of its arguments"});
  const WrtList by =
      by_ ? WrtList(*by_, where_) : WrtList(std::vector<Var>(x.begin(), x.end()), where_);
  const Gradients gradients = reverse(value, by, Unreachable::error, where_);
  std::vector<Var> all{value};
  all.insert(all.end(), gradients.all().begin(), gradients.all().end());
  return all;
}

std::vector<Tensor> Gradient::operator()(std::span<const Tensor> x) const {
  require_callable(cache_ != nullptr, "value_and_grad", where_);
  return cache_->run([this](std::span<const Var> in) { return (*this)(in); }, x);
}

}  // namespace dualtape::detail
